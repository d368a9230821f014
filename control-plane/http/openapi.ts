// Portable: Web APIs only.
//
// The API's own description, made from the routes and schemas that serve it, and a page that shows it. The page is ours
// and loads nothing from elsewhere.
import type { App } from './context.ts'
import { docsPage } from './docs-page.ts'

export const API_VERSION = '0.1.0'

export function documentRoutes(app: App): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  // Built at the first request and kept: the routes do not change.
  let text: string | undefined
  app.get('/openapi.json', (context) => {
    text ??= JSON.stringify(
      app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: {
          title: 'Dray',
          version: API_VERSION,
          description: 'Runs containers on GPU machines that you own. Errors are RFC 9457 problem details.',
          license: { name: 'Apache-2.0' },
        },
      }),
    )
    context.header('Content-Type', 'application/json')
    return context.body(text)
  })
  app.get('/docs', (context) => {
    const nonce = crypto.randomUUID()
    context.header(
      'Content-Security-Policy',
      `default-src 'none'; connect-src 'self'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; frame-ancestors 'none'; base-uri 'none'`,
    )
    return context.html(docsPage(nonce))
  })
}
