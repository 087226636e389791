(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("curve-data").textContent);
  const percent = (v) => (v == null ? "–" : (100 * v).toFixed(1).replace("-", "−") + " %");

  const filters = document.querySelector(".filters");
  if (filters) {
    filters.hidden = false;
    filters.addEventListener("click", (event) => {
      const chosen = event.target.closest("button");
      if (!chosen) return;
      for (const b of filters.children) b.setAttribute("aria-pressed", String(b === chosen));
      for (const card of document.querySelectorAll(".person"))
        card.hidden = chosen.dataset.filter !== "" && chosen.dataset.filter !== card.dataset.cluster;
    });
  }

  const box = document.getElementById("chart");
  const legend = document.getElementById("chart-legend");
  if (!box || !data.lines.length) return;
  const dashes = [[], [9, 4], [3, 3], [10, 3, 3, 3], [14, 5], [6, 2, 2, 2], [2, 5], [12, 3, 2, 3, 2, 3]];
  const look = (line) => ({
    color: `var(--${line.cluster < 0 ? "ctl" : "c" + (line.cluster % 8)})`,
    dash: line.cluster < 0 ? [2, 4] : dashes[line.cluster % 8],
    width: line.cluster < 0 ? 2.5 : 2.25,
  });
  const shown = data.lines.map(() => true);
  const svg = "http://www.w3.org/2000/svg";

  const values = data.lines.map((line, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    const key = document.createElementNS(svg, "svg");
    key.setAttribute("viewBox", "0 0 30 12");
    key.setAttribute("aria-hidden", "true");
    const stroke = document.createElementNS(svg, "line");
    const { color, dash, width } = look(line);
    for (const [k, v] of Object.entries({ x1: 0, y1: 6, x2: 30, y2: 6, "stroke-width": width, "stroke-dasharray": dash.join(" ") }))
      stroke.setAttribute(k, v);
    stroke.style.stroke = color;
    key.append(stroke);
    const value = document.createElement("span");
    value.className = "value";
    button.append(key, line.label, value);
    button.addEventListener("click", () => {
      shown[i] = !shown[i];
      button.setAttribute("aria-pressed", String(shown[i]));
      chart.setSeries(i + 1, { show: shown[i] });
    });
    legend.append(button);
    return value;
  });

  const resolve = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const paint = (color) => resolve(color.slice(4, -1));
  const tell = (index) => values.forEach((v, i) => { v.textContent = " " + percent(data.lines[i].values[index]); });
  const last = data.rounds.length - 1;
  let chart;

  const draw = () => {
    if (chart) chart.destroy();
    const font = "12px system-ui, sans-serif";
    const axis = { stroke: resolve("--soft"), grid: { stroke: resolve("--line"), width: 1 }, ticks: { show: false }, font, labelFont: font };
    chart = new uPlot(
      {
        width: box.clientWidth,
        height: 320,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: { x: { time: false }, y: { range: (u, low, high) => {
          const room = Math.max(high - low, 0.01) * 0.08;
          return [low - room, high + room];
        } } },
        axes: [
          { ...axis, label: "round", labelSize: 20, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100] },
          { ...axis, size: 62, values: (u, ticks) => ticks.map((t) => parseFloat((100 * t).toFixed(2)) + " %") },
        ],
        series: [{}, ...data.lines.map((line, i) => {
          const { color, dash, width } = look(line);
          return { stroke: paint(color), dash, width, show: shown[i], spanGaps: true, points: { show: last < 25, size: 7, fill: paint(color) } };
        })],
        hooks: { setCursor: [(u) => tell(u.cursor.idx == null ? last : u.cursor.idx)] },
      },
      [data.rounds, ...data.lines.map((line) => line.values)],
      box,
    );
    tell(last);
  };
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  new ResizeObserver(() => { if (box.clientWidth) chart.setSize({ width: box.clientWidth, height: 320 }); }).observe(box);
})();
