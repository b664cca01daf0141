// Signs and verifies with the public libraries: an array of tasks on stdin, an array of their outcomes on stdout.
// Runs in the folder that holds node_modules.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const load = createRequire(`${process.cwd()}/`);

function outcome({ library, secret, headers, body, id, at }) {
  const webhook = new (load(library).Webhook)(secret);
  const bytes = Buffer.from(body, "base64");
  if (id) return { signature: webhook.sign(id, new Date(at * 1000), bytes) };
  try {
    return { event: webhook.verify(bytes, headers) };
  } catch (error) {
    return { refused: error.message };
  }
}

console.log(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(outcome)));
