/** The look of the page: one column that fits a phone, two where there is room, light and dark after the reader's choice. */
import { Html } from './html.ts';

/** Without its own line breaks, so that it can stand in an attribute. */
export const ICON = `data:image/svg+xml,${encodeURIComponent(
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#4f7cff" d="M8 1l6 2v5c0 4-3 6-6 7-3-1-6-3-6-7V3z"/></svg>',
)}`;

export const STYLE = new Html(`
:root { --back: #f5f6f8; --card: #fff; --text: #171a21; --soft: #59616e; --line: #e3e6eb; --track: #e9ecf1; --link: #1f52cc; --good: #12703f; --warn: #855400; --bad: #b3261e; --bar: #6c93ef }
@media (prefers-color-scheme: dark) { :root { --back: #0e1115; --card: #171b21; --text: #e8eaee; --soft: #9ba5b4; --line: #2a3039; --track: #262c35; --link: #93b4ff; --good: #62cd95; --warn: #eebb62; --bad: #ff8f86; --bar: #4b72d1 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0 auto; max-width: 66rem; padding: 1.75rem 1rem 2.5rem; background: var(--back); color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; overflow-wrap: anywhere }
header { display: grid; grid-template-columns: 1fr auto; gap: 0 1rem; align-items: center; margin: 0 .25rem 1.25rem }
header p { grid-column: 1 / -1; margin: 0 }
h1 { margin: 0; font-size: 1.75rem; line-height: 1.2; letter-spacing: -.01em }
h2 { margin: 0 0 .75rem; font-size: 1.125rem; line-height: 1.3 }
p { margin: 0 0 .75rem }
a { color: var(--link); text-underline-offset: .15em }
a:focus-visible, summary:focus-visible, pre:focus-visible, textarea:focus-visible { outline: 2px solid var(--link); outline-offset: 2px }
code, pre, textarea { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace; font-size: .8125rem }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.1rem 1.25rem 1.2rem; margin: 0 0 1rem }
section > :last-child { margin-bottom: 0 }
.pair { display: grid; gap: 0 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)) }
.soft, .time, .digest, footer { color: var(--soft); font-size: .875rem }
.good { color: var(--good) } .warn { color: var(--warn) } .bad { color: var(--bad) }
.state { border: 1px solid currentColor; border-radius: 99px; padding: .2rem .85rem; font-size: .9rem; font-weight: 600; text-decoration: none; white-space: nowrap }
.state::before { content: ""; display: inline-block; width: .55rem; height: .55rem; margin-right: .45rem; border-radius: 50%; background: currentColor }
.todo { border-color: var(--bad) } .todo ul { margin: 0; padding: 0; list-style: none } .todo li + li { margin-top: .75rem; padding-top: .75rem; border-top: 1px solid var(--line) }
.todo p { margin: 0 } .todo h2 { color: var(--bad) } .todo .next { margin-top: .15rem; font-size: .9375rem } .todo .soft { display: block }
.alarm { border: 1px solid var(--bad); border-radius: .75rem; padding: .7rem 1.25rem; margin: 0 0 1rem; color: var(--bad); background: var(--card) }
dl { display: grid; grid-template-columns: fit-content(11rem) minmax(0, 1fr); gap: .4rem 1.25rem; margin: 0 }
dt { color: var(--soft) } dd { margin: 0 }
.note { margin: .9rem 0 0 }
dd .bar { margin: .5rem 0 .15rem }
details { margin-top: .9rem } summary { cursor: pointer; color: var(--link); width: fit-content } details[open] > summary { margin-bottom: .75rem }
.bar { display: block; width: 100%; height: .5rem; border-radius: .25rem; overflow: hidden }
.track { fill: var(--track) } .done, .used { fill: var(--bar) } rect.failed { fill: var(--bad) }
.containers { list-style: none; margin: 0; padding: 0 }
.containers li { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: .75rem; padding: .65rem 0 }
.containers li:first-child { padding-top: 0 } .containers li:last-child { padding-bottom: 0 }
.containers li + li { border-top: 1px solid var(--line) }
.dot { width: .65rem; height: .65rem; margin-top: .45rem; border-radius: 50%; background: var(--soft) }
.dot.good { background: var(--good) } .dot.warn { background: var(--warn) } .dot.bad { background: var(--bad) }
.facts { display: flex; flex-wrap: wrap; gap: .1rem 1rem; font-size: .875rem; color: var(--soft) }
.facts .warn { color: var(--warn) } .facts .bad { color: var(--bad) }
.log { align-self: center; padding: .6rem .4rem }
.boot { width: 100%; border-collapse: collapse; table-layout: fixed }
.boot th { text-align: left; font-weight: 400; padding: .3rem .9rem .3rem 0; vertical-align: top }
.boot td { padding: .3rem 0; vertical-align: top }
.boot thead th { color: var(--soft); font-size: .8125rem; width: 40% }
.boot thead .axis { width: auto; padding-right: 0 } .axis span + span { float: right }
.boot .time { width: 6rem; text-align: right; padding-right: 0; white-space: nowrap }
.boot .chart .bar { margin-top: .5rem }
.boot tbody tr { border-top: 1px solid var(--line) }
.boot .group th { padding-top: .8rem; font-weight: 600; font-size: .875rem }
.boot .skipped { color: var(--soft) } .boot .failed, .boot .failed .time { color: var(--bad) }
.measured { list-style: none; margin: .1rem 0 0; padding: 0; font-size: .8125rem; color: var(--soft) }
.measured code { font-size: .75rem }
.events { margin: 0; padding-left: 1.9rem } .events li { padding: .35rem 0 } .events li::marker { color: var(--soft); font-size: .875rem }
.events li:target { background: var(--track); border-radius: .4rem }
.payload, .digest { display: block } .digest code { font-size: .75rem }
.copy { margin: 0 0 .75rem; padding: .7rem .85rem; background: var(--back); border: 1px solid var(--line); border-radius: .5rem; white-space: pre-wrap; -webkit-user-select: all; user-select: all }
label { display: block; margin: .6rem 0 .25rem; font-size: .875rem }
textarea { display: block; width: 100%; padding: .6rem .75rem; border: 1px solid var(--line); border-radius: .5rem; background: var(--back); color: var(--text); resize: vertical; word-break: break-all }
footer { margin: 1.5rem .25rem 0; text-align: center }
@media (max-width: 38rem) {
body { padding: 1.1rem .75rem 2rem }
header { grid-template-columns: minmax(0, 1fr); gap: .5rem } .state { justify-self: start }
h1 { font-size: 1.45rem }
section { padding: .95rem 1rem 1.05rem }
dl { grid-template-columns: minmax(0, 1fr); gap: 0 } dt { font-size: .875rem } dd { margin-bottom: .55rem } dd:last-child { margin-bottom: 0 }
.boot, .boot tbody { display: block } .boot thead { display: none }
.boot tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 .75rem; padding: .3rem 0 .45rem }
.boot th, .boot td { padding: 0 } .boot .group { padding-bottom: 0 } .boot .group th { padding-top: .5rem }
.boot .time { width: auto } .boot .chart { grid-column: 1 / -1; order: 1 } .boot .chart .bar { margin-top: .3rem }
.events { padding-left: 1.6rem }
}
@media print { body { background: none; max-width: none } section { break-inside: avoid } .state { border: 0 } }
`);
