const lost = document.getElementById("lost"), filter = document.getElementById("filter");
const none = document.getElementById("none"), rest = document.getElementById("rest");
const cells = [...document.querySelectorAll("[data-k]")];
const rows = [...document.querySelectorAll("tr")].filter(row => row.querySelector("[data-k^=p]"));
filter.value = decodeURIComponent(location.hash.slice(1));
function sift() {
  const words = filter.value.toLowerCase().split(" ").filter(Boolean);
  for (const row of rows) {
    const text = words.length ? row.textContent.toLowerCase() : "";
    row.hidden = !words.every(word => text.includes(word));
  }
  if (rest && words.length) rest.open = true;
  none.hidden = !words.length || rows.some(row => !row.hidden);
}
function unfold() {
  const body = rest.querySelector("tbody");
  if (body.rows.length) return;
  for (let number = +rest.dataset.first; number < +rest.dataset.last; number++) {
    const row = body.appendChild(rows[0].cloneNode(true));
    for (const cell of row.querySelectorAll("[data-k]")) {
      cell.dataset.k = cell.dataset.k.replace(/^p\d+/, "p" + number);
      cells.push(cell);
    }
    rows.push(row);
  }
  look();
}
if (rest) rest.addEventListener("toggle", () => { if (rest.open) unfold(); });
filter.addEventListener("input", () => {
  const where = location.pathname + location.search;
  history.replaceState(null, "", filter.value ? where + "#" + encodeURIComponent(filter.value) : where);
  sift();
});
if (filter.value) sift();
function fill(cell, view) {
  const key = cell.dataset.k, [text, level] = view[key];
  if (cell.tagName === "polyline") {
    if (cell.getAttribute("points") !== text) cell.setAttribute("points", text);
    return;
  }
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.className !== level) cell.className = level;
  if (cell.tagName === "A") {
    const row = key.split(".")[0], name = ["name", "region", "unit"].map(part => view[row + "." + part][0]);
    cell.href = "?of=" + encodeURIComponent(name.join(" "));
  }
}
async function look() {
  try {
    const reply = await fetch(location.pathname + ".json" + location.search, {cache: "no-store"});
    if (!reply.ok) throw new Error(reply.status);
    const view = (await reply.json()).view;
    if (+document.body.dataset.cells !== Object.keys(view).length) return location.reload();
    for (const cell of cells) fill(cell, view);
    sift();
    lost.textContent = "";
  } catch (error) {
    lost.textContent = "The collector does not answer. What is below was so when it last did.";
  }
}
async function turn() {
  await look();
  setTimeout(turn, 5000);
}
setTimeout(turn, 5000);
