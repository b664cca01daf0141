// Follows an event stream with the EventSource of npm: each message on stdout, as [id, data], until the server says 204.
// Runs in the folder that holds node_modules.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const { EventSource } = await import(pathToFileURL(createRequire(`${process.cwd()}/`).resolve("eventsource")));
const [url, key] = process.argv.slice(2);

const source = new EventSource(url, {
  fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, Authorization: `Bearer ${key}` } }),
});
source.onmessage = ({ lastEventId, data }) => console.log(JSON.stringify([lastEventId, data]));
source.onerror = ({ code }) => {
  if (source.readyState === EventSource.CLOSED) process.exitCode = code === 204 ? 0 : 1;
};
