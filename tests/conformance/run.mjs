// Runs the outside suite against one base URL and prints one JSON object per test:
// {"id","suite","kind","name","passed","said"}, kind being required, optimal or check.
//
//   node run.mjs PACKAGE_DIR BASE_URL PROTOCOL AT_ONCE [ID...]
//
// PROTOCOL is h1 (the suite's own client) or h2 (ours, fetch_h2.mjs).
//
// Beyond what the package's own command does: a deadline per request, any number of chosen tests,
// and fewer tests at a time. Results are the suite's own, dependencies between tests not applied.

import { createRequire } from 'node:module'
import path from 'node:path'
import { pathToFileURL } from 'node:url'

import { makeFetch } from './fetch_h2.mjs'

const REQUEST_MS_MAX = 20000

const [folder, base, protocol, atOnce, ...ids] = process.argv.slice(2)
const suite = name => import(pathToFileURL(path.join(folder, name)))
const nodeFetch = createRequire(path.join(path.resolve(folder), 'package.json'))('node-fetch')
const fetch = protocol === 'h2'
  ? makeFetch(base, REQUEST_MS_MAX)
  : (url, init) => nodeFetch(url, { timeout: REQUEST_MS_MAX, ...init })

const { makeCacheTest, testResults } = await suite('client/test.mjs')
const config = await suite('client/config.mjs')
const suites = [...(await suite('tests/index.mjs')).default, (await suite('tests/surrogate-control.mjs')).default]

config.setFetch(fetch)
config.setBaseUrl(base)
config.setUseBrowserCache(false)

const tests = suites.flatMap(({ id: suite, tests }) => tests.map(test => ({ suite, test })))
  .filter(({ test }) => !test.browser_only && (ids.length === 0 || ids.includes(test.id)))

// A fixed number at work, each taking the next: a slow test holds up nobody.
let next = 0
async function work () {
  while (next < tests.length) await makeCacheTest(tests[next++].test)
}
await Promise.all(Array.from({ length: Number(atOnce) }, work))

for (const { suite, test } of tests) {
  const result = testResults[test.id]
  console.log(JSON.stringify({
    id: test.id,
    suite,
    kind: test.kind ?? 'required',
    name: test.name,
    passed: result === true,
    said: result === true ? '' : result.join(': ')
  }))
}

// The session of HTTP/2 is still open.
process.exitCode = 0
await new Promise(resolve => process.stdout.write('', resolve))
process.exit()
