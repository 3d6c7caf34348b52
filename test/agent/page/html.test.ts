import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { escapeHtml, html } from '../../../src/agent/page/html.ts';

describe('html', () => {
  it('escapes every value, in attributes and lists too', () => {
    expect(html`<a title="${`"'><&`}">${['<i>', 1]}${undefined}${html`<b>${'&'}</b>`}</a>`.text).toBe(
      '<a title="&quot;&#39;&gt;&lt;&amp;">&lt;i&gt;1<b>&amp;</b></a>',
    );
  });
  it('lets no markup and no control character through', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(escapeHtml(text)).not.toMatch(/[<>"'\u0000-\u0008\u001b\u202e]/);
        expect(escapeHtml(text).replace(/&(?:amp|lt|gt|quot|#39);/g, '')).not.toContain('&');
      }),
    );
  });
});
