// Portable: Web APIs only.
//
// The page at /docs: it fetches /openapi.json and shows each call with its parameters, bodies and answers. One file of
// plain HTML, so that it works without a build, without the Internet and under a strict content policy.

export function docsPage(nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Dray API</title>
<style nonce="${nonce}">${STYLE}</style>
</head>
<body>
<main id="content"><h1>Dray API</h1><p>Loading <a href="/openapi.json">/openapi.json</a> …</p></main>
<script nonce="${nonce}">${SCRIPT}</script>
</body>
</html>
`
}

const STYLE = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { margin: 0; }
main { max-width: 56rem; margin: 0 auto; padding: 1rem; }
details { border: 1px solid #8886; border-radius: 6px; margin: .5rem 0; padding: 0 .75rem; }
details[open] { padding-bottom: .75rem; }
summary { cursor: pointer; padding: .5rem 0; }
code, pre { font: .875rem/1.5 ui-monospace, monospace; }
pre { overflow: auto; background: #8881; padding: .75rem; border-radius: 6px; }
.method { display: inline-block; min-width: 4rem; font-weight: 700; }
td, th { text-align: left; vertical-align: top; padding: .125rem 1rem .125rem 0; }
`

// Text goes in through textContent only: nothing of the document can become markup.
const SCRIPT = `
const make = (tag, text, ...children) => {
  const element = document.createElement(tag)
  if (text) element.textContent = text
  element.append(...children)
  return element
}
const json = (value) => make('pre', JSON.stringify(value, null, 2))

function parameters(list) {
  const rows = list.map(({ name, in: place, required, schema, description }) =>
    make('tr', '', make('td', '', make('code', name)), make('td', place + (required ? ', required' : '')),
      make('td', [description, schema && JSON.stringify(schema)].filter(Boolean).join(' '))))
  return make('table', '', ...rows)
}

function content(title, entry) {
  const parts = Object.entries(entry.content || {}).map(([type, { schema }]) =>
    make('div', '', make('code', type), json(schema)))
  return make('div', '', make('h4', title + (entry.description ? ': ' + entry.description : '')), ...parts)
}

function operation(path, method, call) {
  const name = make('span', method.toUpperCase())
  name.className = 'method'
  const summary = make('summary', '', name, make('code', path), ' ' + call.summary)
  const box = make('details', '', summary)
  if (call.description) box.append(make('p', call.description))
  box.append(make('p', (call.security || []).length ? 'Needs a key: Authorization: Bearer.' : 'Needs no key.'))
  if (call.parameters) box.append(parameters(call.parameters))
  if (call.requestBody) box.append(content('Body', call.requestBody))
  for (const [status, answer] of Object.entries(call.responses)) box.append(content(status, answer))
  return box
}

function schemas(all) {
  return Object.entries(all).map(([name, schema]) => make('details', '', make('summary', name), json(schema)))
}

const main = document.getElementById('content')
fetch('/openapi.json').then((answer) => answer.json()).then((document) => {
  const groups = new Map()
  for (const [path, methods] of Object.entries(document.paths))
    for (const [method, call] of Object.entries(methods)) {
      const tag = (call.tags || ['Other'])[0]
      groups.set(tag, [...(groups.get(tag) || []), operation(path, method, call)])
    }
  main.replaceChildren(make('h1', document.info.title + ' API ' + document.info.version), make('p', document.info.description))
  for (const [tag, calls] of groups) main.append(make('h2', tag), ...calls)
  main.append(make('h2', 'Schemas'), ...schemas(document.components.schemas))
}).catch((error) => main.append(make('p', 'It could not be loaded: ' + error.message)))
`
