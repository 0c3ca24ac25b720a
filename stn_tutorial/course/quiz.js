// What a quiz does with an answer. One listener for each kind of event serves all quizzes
// of a page, those that are shown later too.
(() => {
  // Colab sets no mathematics in outputs, each of which is a page of its own.
  const setsNoMath = window.google?.colab && !window.MathJax;
  if (setsNoMath && document.querySelector(".stn-quiz .math")) {
    const mathjax = document.createElement("script");
    mathjax.src = "https://cdn.jsdelivr.net/npm/mathjax@3/es5/tex-chtml.js";
    document.head.append(mathjax);
  }

  if (window.stnQuiz) return;
  window.stnQuiz = true;

  // A screen reader says what comes into a live region, and not what was in it hidden.
  document.addEventListener("change", ({ target }) => {
    const told = target.closest?.(".stn-quiz .stn-row")?.querySelector(".stn-told");
    told?.append(told.firstElementChild);
  });

  // "0.5", "0,5", "−1/2" -> a number; anything else -> NaN
  const read = (text) => {
    const parts = text
      .replace(/\s/g, "")
      .replace(/−/g, "-")
      .replace(/,/g, ".")
      .split("/");
    const number = (part) => (/\d/.test(part) ? Number(part) : NaN);
    return parts.length > 2 ? NaN : parts.map(number).reduce((a, b) => a / b);
  };

  const judge = (fieldset) => {
    const told = fieldset.querySelector(".stn-told");
    const said = read(fieldset.querySelector(".stn-number input").value);
    const isNear = ({ dataset: { value, within } }) =>
      Math.abs(said - value) <= Number(within) * (1 + 1e-9);
    const near = [...told.querySelectorAll("[data-value]")].filter(isNear);
    const reason = Number.isFinite(said)
      ? (near.find((each) => each.matches(".right")) ??
        near[0] ??
        told.querySelector(".else"))
      : told.querySelector(".none");
    told.append(reason);
    for (const each of told.children) each.classList.toggle("stn-now", each === reason);
  };

  document.addEventListener("submit", (event) => {
    if (!event.target.matches(".stn-quiz")) return;
    event.preventDefault();
    const at = event.submitter?.closest("fieldset") ?? document.activeElement;
    judge(at.closest("fieldset"));
  });

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    if (!target.matches?.(".stn-quiz input")) return;
    if (target.type === "text" && key === "Enter") {
      event.preventDefault(); // or it would press the first button of the form
      judge(target.closest("fieldset"));
    }
    // Arrows move between options without choosing one: to choose is to see its reason.
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[key];
    if (target.type === "radio" && step) {
      event.preventDefault();
      const options = [...target.closest("fieldset").querySelectorAll("input")];
      const next = options.indexOf(target) + step + options.length;
      options[next % options.length].focus();
    }
  });
})();
