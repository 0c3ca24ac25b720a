// Starts a deck: mathematics first, then the slides; lets explorables answer to the hand
// and a presenter's remote control turn the slides.

(() => {
  const LIVE = ".live";
  /** How wide the controls beside an explorable are, in pixels of a slide. */
  const SIDE = 340;
  const CONTROLS = ".stn-controls, .stn-choice, output";

  /** Put an explorable's controls beside it, and make it as large as the slide allows. */
  const fit = (slide) => {
    const box = slide?.querySelector(LIVE);
    const live = box?.querySelector(".stn-live");
    if (!live || live.querySelector(".stn-main")) return;
    const main = document.createElement("div");
    const side = document.createElement("div");
    main.className = "stn-main";
    side.className = "stn-side";
    side.append(...live.querySelectorAll(`:scope > :is(${CONTROLS})`));
    main.append(...live.children);
    live.append(main, side);
    let best = { worth: 0, zoom: 0.4, below: false, share: 1 };
    for (let zoom = 1; zoom > 0.4; zoom -= 0.05) {
      for (const below of [false, true]) {
        for (let share = 1; share > 0.4; share -= 0.1) {
          const width = arrange(main, live, { zoom, below, share });
          // Both letters and pictures should be large.
          const worth = zoom * Math.sqrt((zoom * width) / box.clientWidth);
          const high = zoom * live.offsetHeight > box.clientHeight;
          const wide = live.scrollWidth > live.clientWidth;
          if (worth > best.worth && !high && !wide) best = { worth, zoom, below, share };
        }
      }
    }
    arrange(main, live, best);
  };

  /** Lay an explorable out, and return how wide its main part is. */
  const arrange = (main, live, { zoom, below, share }) => {
    live.style.zoom = zoom;
    live.style.setProperty("--side", `${SIDE / zoom}px`);
    live.classList.toggle("stn-below", below);
    main.style.maxWidth = "";
    main.style.maxWidth = `${share * main.offsetWidth}px`;
    return main.offsetWidth;
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
    // The speaker's view has no style that hides these.
    document.querySelectorAll("aside mjx-assistive-mml").forEach((each) => each.remove());
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
