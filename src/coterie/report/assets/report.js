"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const place = document.getElementById("plot");
  if (!place || !data.rounds.length) return;
  const dashes = [[], [8, 4], [2, 3], [10, 3, 2, 3], [5, 5], [1, 4], [12, 4], [6, 2]];
  let chart = null;
  const draw = () => {
    if (chart) chart.destroy();
    const probe = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    document.body.append(probe);
    const fill = (index) => { probe.setAttribute("class", "c" + index); return getComputedStyle(probe).fill; };
    const ink = getComputedStyle(document.body).color;
    const soft = getComputedStyle(document.querySelector(".note")).color;
    const percent = (v) => (v == null ? "–" : (100 * v).toFixed(1) + " %");
    const series = data.lines.map((line, i) => ({
      label: line.label,
      stroke: line.cluster < 0 ? soft : fill(line.cluster % 8),
      width: line.cluster < 0 ? 3 : 2,
      dash: line.cluster < 0 ? [4, 4] : dashes[line.cluster % 8],
      points: { show: true, size: 6 },
      value: (_, v) => percent(v),
    }));
    probe.remove();
    const axis = { stroke: ink, grid: { stroke: "rgba(128,128,128,.22)", width: 1 }, ticks: { stroke: "rgba(128,128,128,.22)" } };
    chart = new uPlot({
      width: place.clientWidth - 24,
      height: 300,
      scales: { x: { time: false } },
      axes: [
        { ...axis, label: "round", incrs: [1, 2, 5, 10, 20, 50], labelSize: 22 },
        { ...axis, size: 64, values: (_, ticks) => ticks.map((v) => (100 * v).toFixed(0) + " %") },
      ],
      series: [{ label: "round" }, ...series],
    }, [data.rounds, ...data.lines.map((line) => line.values)], place);
  };
  draw();
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
