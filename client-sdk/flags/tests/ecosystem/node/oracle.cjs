// Evaluates flags for users with JavaScript's evaluator: arguments and answers are those
// of `python/oracle.py`.

const fs = require("node:fs");
const { FlagdCore } = require("@openfeature/flagd-core");

const [flagsFile, questionsFile] = process.argv.slice(2);
const quiet = { error() {}, warn() {}, info() {}, debug() {} };
const questions = JSON.parse(fs.readFileSync(questionsFile, "utf8"));
const core = new FlagdCore(undefined, quiet);
core.setConfigurations(fs.readFileSync(flagsFile, "utf8"));

const methods = { boolean: "Boolean", string: "String", integer: "Number", float: "Number", object: "Object" };
for (const user of questions.users) {
  const answers = questions.flags.map(([name, kind, fallback]) => {
    const details = core[`resolve${methods[kind]}Evaluation`](name, fallback, user, quiet);
    return [details.value, details.variant ?? null, details.reason, details.errorCode ?? null];
  });
  console.log(JSON.stringify(answers));
}
