// A fetch over HTTP/2, as far as the suite uses one: node's http2 in place of node-fetch, which
// speaks HTTP/1 alone. One session for all requests; what breaks is a rejection, as with fetch.

import http2 from 'node:http2'

// Not allowed in HTTP/2 (RFC 9113 §8.2.2): a client of it cannot say them.
const CONNECTION_FIELDS = ['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade']

class Headers {
  #lines = new Map()

  append (name, value) {
    const key = name.toLowerCase()
    this.#lines.set(key, [...(this.#lines.get(key) ?? []), String(value)])
  }

  has (name) { return this.#lines.has(name.toLowerCase()) }

  get (name) { return this.#lines.get(name.toLowerCase())?.join(', ') ?? null }

  * [Symbol.iterator] () {
    for (const [name, values] of this.#lines) yield [name, values.join(', ')]
  }
}

// Fields of a request: pairs, or an object of them.
function fieldsOf (init) {
  const listed = init.headers ?? []
  const fields = {}
  for (const [name, value] of Array.isArray(listed) ? listed : Object.entries(listed)) {
    const key = name.toLowerCase()
    if (CONNECTION_FIELDS.includes(key)) continue
    fields[key] = key in fields ? `${fields[key]}, ${value}` : String(value)
  }
  return fields
}

export function makeFetch (base, requestMsMax) {
  let session = null
  const connected = () => {
    if (session === null || session.closed || session.destroyed) {
      session = http2.connect(base)
      // What fails is told by each request.
      session.on('error', () => {})
    }
    return session
  }
  return (url, init = {}) => new Promise((resolve, reject) => {
    const { pathname, search } = new URL(url)
    const fields = fieldsOf(init)
    const body = init.body
    if (body !== undefined) fields['content-length'] = Buffer.byteLength(body)
    const path = pathname + search
    const head = { ':method': init.method ?? 'GET', ':path': path, ...fields }
    const stream = connected().request(head, { endStream: body === undefined })
    stream.setTimeout(requestMsMax, () => stream.destroy(new Error('request timeout')))
    stream.on('error', reject)
    stream.on('response', received => {
      const headers = new Headers()
      for (const [name, value] of Object.entries(received)) {
        if (name.startsWith(':')) continue
        for (const line of [value].flat()) headers.append(name, line)
      }
      const chunks = []
      const text = new Promise((resolve, reject) => {
        stream.on('data', chunk => chunks.push(chunk))
        stream.on('end', () => resolve(Buffer.concat(chunks).toString()))
        stream.on('error', reject)
        stream.on('aborted', () => reject(new Error('the stream was reset')))
      })
      // A text that nobody asks for may break unheard.
      text.catch(() => {})
      resolve({ status: received[':status'], headers, text: () => text })
    })
    if (body !== undefined) stream.end(body)
  })
}
