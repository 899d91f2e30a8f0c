// Runs the public Node tools, one request a line, as python_tools.py does for those in Python. The first argument is
// the folder whose node_modules they are in.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const folder = join(process.argv[2], "node_modules");
const loaded = {};
console.log = console.error; // only answers may stand on standard output

function manifest(name) {
  return JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8"));
}

async function tool(name) {
  if (!loaded[name]) {
    const { main, exports } = manifest(name);
    const entry = exports?.["."]?.import ?? main ?? "index.js";
    const file = /\.[cm]?js$/.test(entry) ? entry : `${entry}.js`;
    const found = await import(pathToFileURL(join(folder, name, file)));
    loaded[name] = found.default ?? found;
  }
  return loaded[name];
}

const quoted = (fragments, isQuoted, text) => ({ kind: "text", body: fragments.filter(isQuoted).map(text).join("\n") });

const TOOLS = {
  "email-forward-parser": async (ask, Parser) => {
    const found = new Parser().read(ask.text, ask.subject);
    return { kind: "text", body: found.forwarded ? found.email.body ?? "" : "" };
  },
  "email-reply-parser": async (ask, Parser) => ({ kind: "text", body: new Parser().parseReplied(ask.text) }),
  "node-email-reply-parser": async (ask, parse) =>
    quoted(parse(ask.text).getFragments(), (part) => part.isQuoted(), (part) => part.getContent()),
  emailreplyparser: async (ask, { EmailReplyParser }) =>
    quoted(Object.values(EmailReplyParser.read(ask.text).fragments), (part) => part.quoted, (part) => part.to_s()),
  planer: async (ask, planer) => {
    if (ask.mode === "text") return { kind: "text", kept: planer.extractFrom(ask.text, "text/plain") };
    loaded.document ??= new (await tool("jsdom")).JSDOM("").window.document;
    return { kind: "html", kept: planer.extractFrom(ask.html, "text/html", loaded.document) };
  },
  "@u22n/mailtools": async (ask, { parseMessage }) => {
    const found = await parseMessage(ask.html, { cleanQuotations: true });
    return found.didFindQuotation ? { kind: "html", kept: found.parsedMessageHtml } : {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const ask = JSON.parse(line);
  let answer;
  try {
    answer =
      ask.mode === "version"
        ? { version: manifest(ask.tool).version }
        : await TOOLS[ask.tool](ask, await tool(ask.tool));
  } catch (error) {
    answer = { error: String(error).slice(0, 200) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
