"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Map(); // element -> what takes it away again

  // Light and dark: the system's choice until the reader makes another
  const system = matchMedia("(prefers-color-scheme: dark)");
  const theme = document.getElementById("theme");
  let chosen = null;
  function dress() {
    const dark = chosen === null ? system.matches : chosen;
    root.dataset.theme = dark ? "dark" : "light";
    theme.setAttribute("aria-pressed", String(dark));
    for (const element of drawn.keys()) draw(element);
  }
  theme.hidden = false;
  theme.addEventListener("click", () => {
    chosen = root.dataset.theme !== "dark";
    dress();
  });
  system.addEventListener("change", dress);

  // Plots
  function looks() {
    const style = getComputedStyle(root);
    const [ink, soft, line, grid] = ["--ink", "--soft", "--line", "--grid"].map((name) =>
      style.getPropertyValue(name).trim(),
    );
    const narrow = innerWidth < 600;
    const text = { labelColor: ink, titleColor: soft, labelFontSize: 12, titleFontWeight: "normal" };
    return {
      background: "transparent",
      font: getComputedStyle(document.body).fontFamily,
      view: { stroke: line },
      axis: { ...text, gridColor: grid, domainColor: line, tickColor: line },
      axisY: { labelLimit: narrow ? 120 : 260 },
      legend: {
        ...text,
        orient: "bottom",
        columns: narrow ? 1 : 2,
        labelLimit: 300,
        symbolLimit: 60,
      },
    };
  }
  function rowsOf({ names, rows }) {
    return rows.map((values) =>
      Object.fromEntries(names.map((name, k) => [name, values[k]]).filter(([, v]) => v !== null)),
    );
  }
  async function draw(element) {
    const figure = data.figures[element.dataset.figure];
    const form = data.forms[figure.kind];
    const values = rowsOf(figure);
    const labels = new Set(values.map(({ label }) => label)).size;
    const spec = {
      ...form,
      width: "container",
      // in pixels, since Vega-Lite complains of a height by rows beside a width that is fitted
      height: form.height.step ? form.height.step * labels : form.height,
      data: { values },
    };
    drawn.get(element)?.();
    drawn.set(element, () => {});
    element.dataset.theme = root.dataset.theme;
    const options = {
      actions: false,
      ast: true, // expressions are interpreted: the page's policy forbids eval
      renderer: "svg",
      config: looks(),
    };
    const result = await vegaEmbed(element, spec, options);
    drawn.set(element, () => result.finalize());
    element.dataset.drawn = "true";
  }
  const observer = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (isIntersecting) {
          observer.unobserve(target);
          draw(target);
        }
      }
    },
    { rootMargin: "600px" },
  );
  dress();
  for (const element of plots) {
    element.hidden = false;
    observer.observe(element);
  }
  // Paper holds all plots: those that nobody has scrolled to yet are drawn when there is time
  const idle = window.requestIdleCallback ?? ((task) => setTimeout(task, 200));
  async function drawNext() {
    const next = plots.find((element) => !drawn.has(element));
    if (!next) return;
    observer.unobserve(next);
    await draw(next);
    idle(drawNext);
  }
  addEventListener("load", () => idle(drawNext));
  // and of a plot that is still missing its words
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = plots
      .filter((element) => !element.dataset.drawn)
      .map((element) => element.closest("figure").querySelector("details:not([open])"))
      .filter(Boolean);
    for (const words of opened) words.open = true;
  });
  addEventListener("afterprint", () => {
    for (const words of opened) words.open = false;
  });

  // The table: sorted by the buttons of its header, filtered by the form above it
  const table = document.getElementById("table");
  if (!table) return; // a page of another kind
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Sort by ${head.textContent}`);
    head.append(" ", button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => sort(head, column));
  });
  function sort(head, column) {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const each of heads) each.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const keys = new Map(rows.map((row) => [row, key(row.cells[column])]));
    const order = [...rows].sort((a, b) => {
      const [x, y] = [keys.get(a), keys.get(b)];
      if (x === null || y === null) return (x === null) - (y === null); // unknown is last
      const sign = down ? -1 : 1;
      return sign * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y)));
    });
    body.append(...order);
  }
  function key(cell) {
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.textContent === "–" ? null : cell.textContent;
  }
  const filters = document.getElementById("filters");
  const find = document.getElementById("find");
  const titles = heads.map((head) => head.textContent.trim());
  const columns = { verdict: titles.indexOf("verdict"), status: titles.indexOf("status") };
  for (const [name, column] of Object.entries(columns)) {
    const values = new Set(rows.map((row) => row.cells[column].textContent));
    document.getElementById(name).append(...[...values].sort().map((value) => new Option(value)));
  }
  function filter() {
    const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = Object.entries(columns).every(([name, column]) => {
        const value = document.getElementById(name).value;
        return !value || row.cells[column].textContent === value;
      });
      row.hidden = !(fits && wanted.every((word) => words.get(row).includes(word)));
      count += !row.hidden;
    }
    document.getElementById("count").textContent = `${count} of ${rows.length} cells`;
  }
  filters.hidden = false;
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("input", filter);
  filter();
})();
