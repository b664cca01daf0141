// Renders mapping templates as API Gateway documents it: a line of JSON in, a line of JSON out.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-mapping-template-reference.html
// In: {template, body, headers, context, stageVariables}. Out: {text, headers}, or {error}.
import { createInterface } from "node:readline";
import velocity from "amplify-velocity-template";

// what API Gateway provides, in contrast to values
class Provided {
  constructor(members) {
    Object.assign(this, members);
  }
}

// of Java: what the templates call on a String, a Map or a List
const METHODS = {
  length: (text) => text.length,
  matches: (text, pattern) => new RegExp(`^(?:${pattern})$`).test(text),
  startsWith: (text, start) => text.startsWith(start),
  endsWith: (text, end) => text.endsWith(end),
  indexOf: (text, part) => text.indexOf(part),
  substring: (text, from, to) => text.substring(from, to),
  toLowerCase: (text) => text.toLowerCase(),
  replaceAll: (text, pattern, by) => text.replaceAll(new RegExp(pattern, "g"), by),
  keySet: (map) => Object.keys(map),
  get: (from, key) => from[key],
};

// of Java objects, and of what JSON holds; the library knows JavaScript's methods alone
const { Compile, parse } = velocity;
const inherited = Compile.prototype.getPropMethod;
Compile.prototype.getPropMethod = function (property, base, ast) {
  const call = base instanceof Provided ? undefined : METHODS[property.id];
  return call ? call(base, ...(property.args || []).map((one) => this.getLiteral(one))) : inherited.call(this, property, base, ast);
};

// commons-lang's, which API Gateway's is: https://commons.apache.org/proper/commons-lang/
const SHORT = { '"': '\\"', "'": "\\'", "\\": "\\\\", "/": "\\/", "\b": "\\b", "\n": "\\n", "\t": "\\t", "\f": "\\f", "\r": "\\r" };
const escaped = (unit) => SHORT[unit] ?? (unit < " " || unit > "\x7f" ? `\\u${unit.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}` : unit);

const util = new Provided({
  parseJson: (text) => JSON.parse(text),
  base64Encode: (text) => Buffer.from(text, "utf8").toString("base64"),
  base64Decode: (text) => Buffer.from(text, "base64").toString("utf8"),
  escapeJavaScript: (text) => text.split("").map(escaped).join(""),
});

function render({ template, body, headers, context, stageVariables }) {
  const input = new Provided({ body, params: () => ({ header: headers, path: {}, querystring: {} }) });
  const answer = { header: {} };
  const variables = { input, util, context: { ...context, responseOverride: answer }, stageVariables };
  return { text: new Compile(parse(template), { escape: false }).render(variables), headers: answer.header };
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    answer = render(JSON.parse(line));
  } catch (error) {
    // API Gateway answers 500
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
