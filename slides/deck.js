// Starts a deck: mathematics first, then the slides; lets explorables answer to the hand
// and a presenter's remote control turn the slides.

(() => {
  const LIVE = ".live";

  /** Put an explorable's controls beside it, and make it as large as the slide allows. */
  const fit = (slide) => {
    const box = slide?.querySelector(LIVE);
    const live = box?.querySelector(".stn-live");
    if (!live || live.querySelector(".stn-main")) return;
    const main = document.createElement("div");
    const side = document.createElement("div");
    main.className = "stn-main";
    side.className = "stn-side";
    side.append(...live.querySelectorAll(":scope > :is(.stn-controls, output)"));
    main.append(...live.children);
    live.append(main, side);
    // Smaller letters, or controls below, only where nothing else fits.
    for (let zoom = 1; zoom > 0.4; zoom -= 0.05) {
      live.style.zoom = zoom;
      for (const below of [false, true]) {
        live.classList.toggle("stn-below", below);
        if (fits(main, live, box.clientHeight / zoom)) return;
      }
    }
  };

  /** Whether all is within a height, if a part is narrowed by a third at most. */
  const fits = (part, whole, height) => {
    for (let share = 100; share >= 66; share -= 4) {
      part.style.maxWidth = "";
      part.style.maxWidth = `${(part.offsetWidth * share) / 100}px`;
      if (whole.scrollHeight <= height && whole.scrollWidth <= whole.clientWidth) return true;
    }
    part.style.maxWidth = "";
    return false;
  };

  /** A remote control sends these keys, which a slider in focus would take. */
  const turn = (event) => {
    const step = { PageDown: "next", PageUp: "prev" }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    document.activeElement?.blur();
    globalThis.Reveal[step]();
  };

  const start = async () => {
    await globalThis.MathJax.startup.promise;
    const { Reveal, RevealNotes, RevealZoom } = globalThis;
    addEventListener("keydown", turn, true);
    Reveal.on("slidechanged", ({ currentSlide }) => fit(currentSlide));
    await Reveal.initialize({
      width: 1280,
      height: 720,
      margin: 0,
      maxScale: 4,
      center: false,
      display: "flex",
      hash: true,
      slideNumber: "c/t",
      transition: "none",
      pdfSeparateFragments: false,
      pdfMaxPagesPerSlide: 1,
      // The other keys belong to a figure while it has the focus.
      keyboardCondition: () => !document.activeElement?.closest(LIVE),
      plugins: [RevealNotes, RevealZoom],
    });
    fit(Reveal.getCurrentSlide());
  };

  globalThis.MathJax = {
    options: { enableMenu: false },
    startup: { typeset: true },
  };
  addEventListener("DOMContentLoaded", start);
})();
