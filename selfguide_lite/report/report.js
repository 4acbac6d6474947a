"use strict";
(function () {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("(max-width: 600px)");

  function draw(printing) {
    const page = getComputedStyle(document.documentElement);
    const ink = printing ? "#111111" : page.getPropertyValue("--ink").trim();
    const line = printing ? "#bbbbbb" : page.getPropertyValue("--line").trim();
    for (const [name, figure] of Object.entries(figures)) {
      const place = document.getElementById("chart-" + name);
      if (!place) continue;
      const layout = Object.assign({}, figure.layout, {
        font: { color: ink, family: "system-ui, sans-serif", size: narrow.matches ? 12 : 14 },
        autosize: true,
        width: printing ? 660 : undefined,
        height: printing ? Math.min(figure.layout.height, name === "funnel" ? 220 : 420) : figure.layout.height,
        hoverlabel: { font: { color: "#ffffff" }, bgcolor: "#24292f", bordercolor: "#24292f" },
      });
      for (const axis of ["xaxis", "yaxis"]) {
        layout[axis] = Object.assign({}, layout[axis], { gridcolor: line, linecolor: line, color: ink, fixedrange: true });
      }
      const data = figure.data.map((trace) =>
        trace.error_x ? Object.assign({}, trace, { error_x: Object.assign({}, trace.error_x, { color: ink }) }) : trace
      );
      Plotly.react(place, data, layout, { displayModeBar: false, responsive: !printing });
    }
  }

  draw(false);
  dark.addEventListener("change", () => draw(false));
  narrow.addEventListener("change", () => draw(false));
  window.addEventListener("beforeprint", () => draw(true));
  window.addEventListener("afterprint", () => draw(false));

  const search = document.getElementById("search");
  const only = document.getElementById("only");
  const found = document.getElementById("found");
  const rows = Array.from(document.querySelectorAll("#samples tbody tr"));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const PAGE = 10;
  const pages = document.getElementById("pages");
  const at = document.getElementById("page");
  const earlier = document.getElementById("earlier");
  const later = document.getElementById("later");
  let page = 0;
  function show() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const fitting = rows.filter((row, number) =>
      (!only.value || row.dataset.verdict === only.value) && words.every((word) => texts[number].includes(word))
    );
    page = Math.max(0, Math.min(page, Math.ceil(fitting.length / PAGE) - 1));
    const shown = new Set(fitting.slice(page * PAGE, (page + 1) * PAGE));
    for (const row of rows) row.hidden = !shown.has(row);
    found.textContent = fitting.length + " of " + rows.length + " rows";
    pages.hidden = fitting.length <= PAGE;
    at.textContent = page * PAGE + 1 + " to " + (page * PAGE + shown.size) + " of " + fitting.length;
    earlier.disabled = page === 0;
    later.disabled = (page + 1) * PAGE >= fitting.length;
  }
  function turn(by) {
    page = by ? page + by : 0;
    show();
  }
  if (search) {
    search.addEventListener("input", () => turn(0));
    only.addEventListener("change", () => turn(0));
    earlier.addEventListener("click", () => turn(-1));
    later.addEventListener("click", () => turn(1));
    show();
  }
})();
