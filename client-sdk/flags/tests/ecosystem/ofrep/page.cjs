// Follows a hub's flags with JavaScript's client of OFREP for browsers. Argument: the hub's
// HTTP port; the token is in CONFHUB_TOKEN. Prints what it sees, a line of JSON each.
const { OpenFeature, ProviderEvents } = require('@openfeature/web-sdk');
const { OFREPWebProvider } = require('@openfeature/ofrep-web-provider');

const say = (line) => console.log(JSON.stringify(line));
let unchanged = 0;
const provider = new OFREPWebProvider({
  baseUrl: process.argv[2],
  pollInterval: 50,
  cacheMode: 'disabled',
  headers: [['Authorization', `Bearer ${process.env.CONFHUB_TOKEN}`]],
  fetchImplementation: async (...request) => {
    const response = await fetch(...request);
    if (response.status === 304 && ++unchanged === 3) say({ unchanged });
    return response;
  },
});

const client = OpenFeature.getClient();
const value = (flag) => {
  const told = client.getBooleanDetails(flag, false);
  return told.errorCode ?? told.value;
};
const now = () => ({ a: value('a'), b: value('b') });
client.addHandler(ProviderEvents.ConfigurationChanged, (event) => say({ changed: event.flagsChanged, now: now() }));
OpenFeature.setContext({ targetingKey: 'user-1' })
  .then(() => OpenFeature.setProviderAndWait(provider))
  .then(() => say({ ready: now() }));
