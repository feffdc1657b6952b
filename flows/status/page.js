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
