// JavaScript's flagd provider, evaluating in its own process, driven line by line: see
// `provider.py`, of which this is the same. Arguments: host and port, or `unix:` and a path.
// It cannot be given a token.
const { createInterface } = require('node:readline');
const { FlagdProvider } = require('@openfeature/flagd-provider');
const { OpenFeature, ProviderEvents } = require('@openfeature/server-sdk');

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function evaluate(client, [kind, flag, standard, context]) {
  const ask = { boolean: 'getBooleanDetails', string: 'getStringDetails', number: 'getNumberDetails' }[kind];
  const { value, variant } = await client[ask](flag, standard, context);
  return [value, variant ?? null];
}

async function main() {
  const [host, port] = process.argv.slice(2);
  const place = host === 'unix:' ? { socketPath: port } : { host, port: Number(port) };
  const provider = new FlagdProvider({
    ...place,
    resolverType: 'in-process',
    deadlineMs: 60_000,
    retryBackoffMs: 100,
    retryBackoffMaxMs: 200,
  });
  for (const event of Object.values(ProviderEvents)) {
    OpenFeature.addHandler(event, () => say({ event }));
  }
  await OpenFeature.setProviderAndWait(provider);
  const client = OpenFeature.getClient();
  say({ event: 'STARTED' });
  for await (const line of createInterface({ input: process.stdin })) {
    const answers = [];
    for (const asked of JSON.parse(line)) answers.push(await evaluate(client, asked));
    say(answers);
  }
  await OpenFeature.close();
}

main();
