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
  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let n = 0;
    rows.forEach((row, at) => {
      const fits = (!only.value || row.dataset.verdict === only.value) && words.every((word) => texts[at].includes(word));
      row.hidden = !fits;
      n += fits;
    });
    found.textContent = n + " of " + rows.length + " rows";
  }
  if (search) {
    search.addEventListener("input", filter);
    only.addEventListener("change", filter);
    filter();
  }
})();
