// Displayed equations are set for a wide page. Where they are too wide for it they shrink,
// down to LEAST of their size, and what is wider still scrolls within its line.
(() => {
  const LEAST = 0.7;

  const fit = (line) => {
    const equation = line.querySelector("mjx-container");
    const width = line.clientWidth;
    if (!equation || !width || line.dataset.fitted === String(width)) return;
    line.dataset.fitted = String(width);
    line.dataset.size ??= equation.style.fontSize || "100%";
    equation.style.fontSize = line.dataset.size;
    const number = line.querySelector(".eqno");
    const space = width - (number ? number.offsetWidth + 8 : 0);
    const needed = equation.firstElementChild.getBoundingClientRect().width;
    if (needed <= space) return;
    const scale = Math.max(LEAST, (0.99 * space) / needed);
    equation.style.fontSize = `calc(${line.dataset.size} * ${scale.toFixed(3)})`;
  };

  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    const widths = new ResizeObserver((changes) =>
      changes.forEach((change) => fit(change.target)),
    );
    document
      .querySelectorAll(".bd-article div.math")
      .forEach((line) => widths.observe(line));
  });
})();
