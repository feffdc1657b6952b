"""The page's own style and script: both inside the page, allowed by their hashes alone."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --mute: #5d6b82; --page: #f6f7f9; --card: #fff;
  --line: #d9dee7; --bad: #b3261e; --warn: #8a5a00; --good: #1c6e3d; --curve: #2f6fde; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaf2; --mute: #97a3b8; --page: #12161d; --card: #1b212b;
    --line: #303a49; --bad: #ff8a80; --warn: #f2c14e; --good: #7bd69b; --curve: #7fb0ff; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 90rem; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.3rem; margin: 0; }
h2 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; }
p, th, td.error { overflow-wrap: anywhere; }
#sum { font-size: 1.05rem; margin-top: .75rem; padding: .6rem .8rem; border-left: 4px solid;
  background: var(--card); color: var(--good); border-radius: 4px; }
#sum.warn, .warn { color: var(--warn); }
#sum.bad, .bad { color: var(--bad); }
.mute { color: var(--mute); }
#lost:empty { display: none; }
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .45rem .6rem; border-top: 1px solid var(--line); }
thead th { font-size: .8rem; color: var(--mute); font-weight: 600; border: 0; white-space: nowrap; }
tbody th { font-weight: 600; min-width: 11rem; }
small { display: block; font-weight: 400; font-size: .8rem; }
td.short { white-space: nowrap; }
td.error { min-width: 14rem; }
svg { display: block; width: 120px; height: 24px; }
polyline, path { fill: none; stroke: var(--curve); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
path { stroke: var(--line); }
#attention:not(:has(.trouble span:not(:empty))), .trouble:has(span:empty), #tap:has(pre:empty) {
  display: none; }
.trouble { background: var(--card); border-left: 4px solid var(--bad); border-radius: 4px; margin: .4rem 0;
  padding: .4rem .8rem; overflow-wrap: anywhere; }
.trouble:has(span.warn) { border-color: var(--warn); }
.trouble span { font-weight: 600; }
#charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .8rem; }
figure { margin: 0; padding: .6rem .8rem; background: var(--card); border: 1px solid var(--line); }
figcaption, .x, .y { font-size: .8rem; color: var(--mute); }
.plot { display: grid; grid-template-columns: 3.6rem 1fr; gap: .3rem .5rem; margin-top: .3rem; }
.y, .x { display: flex; justify-content: space-between; }
.y { flex-direction: column; align-items: flex-end; white-space: nowrap; }
.x { grid-column: 2; }
.plot svg { width: 100%; height: 90px; }
#filter { font: inherit; font-weight: 400; margin-left: .6rem; padding: .15rem .5rem; max-width: 60%;
  color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 4px; }
details { margin: .5rem 0; }
summary { cursor: pointer; padding: .3rem 0; }
details tr { content-visibility: auto; contain-intrinsic-size: auto 3rem; }
#recent { margin: 0; padding: 0; list-style: none; font: .8rem/1.5 ui-monospace, monospace; }
#recent li { overflow-wrap: anywhere; border-top: 1px solid var(--line); padding: .15rem 0; }
#recent li:empty, table.plain tr:has(span:empty) { display: none; }
pre { overflow-x: auto; background: var(--card); padding: .6rem; border: 1px solid var(--line); }
@media (max-width: 70rem) {
  #charts { grid-template-columns: minmax(0, 1fr); }
  body { padding: .75rem; }
  thead { display: none; }
  table, tbody { display: block; border: 0; background: none; }
  tr { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr));
    grid-auto-flow: dense; margin-bottom: .6rem; padding: .4rem 0; background: var(--card);
    border: 1px solid var(--line); border-radius: 6px; }
  th, td { border: 0; padding: .25rem .75rem; min-width: 0; }
  tbody th, td.error { grid-column: 1 / -1; }
  td.short { white-space: normal; }
  td.curve, td.strength, td.window { grid-column: span 2; }
  td::before { content: attr(data-label); display: block; color: var(--mute); font-size: .8rem; }
  td.error:has(span:empty) { display: none; }
  svg { width: 100%; }
}
"""

SCRIPT = """
const lost = document.getElementById("lost"), filter = document.getElementById("filter");
const rest = document.getElementById("rest"), cells = [...document.querySelectorAll("[data-k]")];
const rows = [...document.querySelectorAll("tr")].filter(row => row.querySelector("[data-k^=p]"));
filter.value = decodeURIComponent(location.hash.slice(1));
function sift() {
  const words = filter.value.toLowerCase().split(" ").filter(Boolean);
  for (const row of rows) {
    const text = words.length ? row.textContent.toLowerCase() : "";
    row.hidden = !words.every(word => text.includes(word));
  }
  if (rest && words.length) rest.open = true;
}
filter.addEventListener("input", () => {
  const where = location.pathname + location.search;
  history.replaceState(null, "", filter.value ? where + "#" + encodeURIComponent(filter.value) : where);
  sift();
});
if (filter.value) sift();
async function turn() {
  try {
    const reply = await fetch(location.pathname + ".json" + location.search, {cache: "no-store"});
    if (!reply.ok) throw new Error(reply.status);
    const view = (await reply.json()).view;
    if (cells.length !== Object.keys(view).length) return location.reload();
    for (const cell of cells) {
      const [text, level] = view[cell.dataset.k];
      if (cell.tagName === "polyline") {
        if (cell.getAttribute("points") !== text) cell.setAttribute("points", text);
      } else {
        if (cell.textContent !== text) cell.textContent = text;
        if (cell.className !== level) cell.className = level;
      }
    }
    sift();
    lost.textContent = "";
  } catch (error) {
    lost.textContent = "The collector does not answer. What is below was so when it last did.";
  }
  setTimeout(turn, 5000);
}
setTimeout(turn, 5000);
"""
