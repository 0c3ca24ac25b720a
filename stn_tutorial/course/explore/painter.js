// The painter: a place is chosen on a canvas, and two trained networks paint a square
// there. One is told where each pixel is, and one is not.

(() => {
  const stn = globalThis.stn;
  const CANVAS = 64;
  const HALF = 4; // of the square of 9×9 pixels, beside its centre
  const [FIRST, LAST] = [HALF, CANVAS - HALF - 1]; // so that the square is inside
  const MIDDLE = CANVAS / 2; // from here on, right and below, no place was trained on
  const EDGES = [-0.5, -0.5, CANVAS - 0.5, CANVAS - 0.5];
  const NETWORKS = [
    ["painter-coordconv", "CoordConv"],
    ["painter-convolution", "plain convolutions"],
  ];
  const PACE = 60; // milliseconds a pixel of the walk
  const WALK = [FIRST, LAST]; // from the upper left corner to the lower right one

  stn.figures.painter = (root, model, data) => {
    const place = () => model.get("place");
    const within = (value) => Math.min(Math.max(Math.round(value), FIRST), LAST);
    const choose = (x, y) => model.set({ place: [within(x), within(y)] });
    const heldOut = () => place().every((value) => value >= MIDDLE);

    let networks = null;
    let seen = null; // scores by network, and the place they are of
    let [busy, current] = [false, null];
    const answer = async () => {
      const asked = place();
      if (!networks || (seen && String(seen.place) === String(asked))) return;
      busy = true;
      const point = asked.map((value) => stn.toNormalized(value, CANVAS, false));
      const scores = {};
      for (const [name] of NETWORKS) {
        const values = Float32Array.from(point);
        scores[name] = (await networks.run(name, "points", values, [1, 2])).scores;
      }
      busy = false;
      seen = { place: asked, scores };
      model.set({});
    };
    root.settled = async () => {
      do await current;
      while (busy);
    };

    /** How much of the square is painted: intersection over union. */
    const overlap = (scores) => {
      const [x, y] = seen.place;
      let [common, either] = [0, 0];
      scores.forEach((score, k) => {
        const [i, j] = [k % CANVAS, Math.floor(k / CANVAS)];
        const inside = Math.abs(i - x) <= HALF && Math.abs(j - y) <= HALF;
        common += inside && score > 0;
        either += inside || score > 0;
      });
      return common / either;
    };

    const square = ([x, y]) => {
      const [left, top] = [x - HALF - 0.5, y - HALF - 0.5];
      const side = 2 * HALF + 1;
      return `M${left} ${top}h${side}v${side}h${-side}Z`;
    };
    const outlined = (caption) => {
      const panel = stn.panel(EDGES, caption);
      panel.path(
        "stn-painter-held",
        `M${MIDDLE - 0.5} ${CANVAS}V${MIDDLE - 0.5}H${CANVAS}`,
      );
      const outline = panel.path("stn-painter-square");
      return { panel, show: () => outline.setAttribute("d", square(place())) };
    };
    const asked = outlined("choose a place");
    stn.paint(asked.panel.canvas(), { width: 1, height: 1, pixels: [0] });
    const target = asked.panel.path("stn-painter-target");
    asked.panel.text("held out", MIDDLE + 16, CANVAS - 4, "stn-painter-words");
    stn.aim(asked.panel, choose);
    const handle = stn.handle(asked.panel, "centre of the square", {
      get: place,
      move: choose,
      step: 1,
      digits: 0,
      style: "stn-third",
    });
    const painted = NETWORKS.map(([name, words]) => {
      const { panel, show } = outlined(words);
      const canvas = panel.canvas();
      canvas.classList.add(`stn-${name}`);
      const told = stn.element("p", { class: "stn-caption" });
      panel.element.append(told);
      panel.element.classList.add("stn-small");
      return { name, panel, canvas, told, show };
    });
    const panels = stn.panels(asked.panel, ...painted.map(({ panel }) => panel));
    panels.classList.add("stn-painter-three");

    const loader = stn.loader(data.runtime, (loaded) => {
      networks = loaded;
      root.networks = loaded; // for who looks in the console
      model.set({});
    });

    let walked = null; // milliseconds, while it walks
    const pixels = () => WALK[0] + Math.floor(walked / PACE);
    const walk = stn.play("Walk into the held-out quarter", {
      step: (milliseconds) => {
        if (busy) return true;
        walked = (walked ?? 0) + milliseconds;
        const at = Math.min(pixels(), WALK[1]);
        if (at !== place()[0] || at !== place()[1]) choose(at, at);
        if (at < WALK[1]) return true;
        walked = null;
        return false;
      },
      finish: () => choose(WALK[1], WALK[1]),
    });

    stn.compose(root, model, {
      body: [panels, loader.element],
      controls: [walk],
      handles: [handle],
      draw: () => {
        asked.show();
        target.setAttribute("d", square(place()));
        for (const { name, canvas, told, show } of painted) {
          show();
          const scores = seen && seen.scores[name];
          const light = scores
            ? Float32Array.from(scores, (score) => 1 / (1 + Math.exp(-score)))
            : new Float32Array(CANVAS * CANVAS);
          stn.paint(canvas, { width: CANVAS, height: CANVAS, pixels: light });
          told.textContent = scores
            ? `intersection over union ${stn.number(overlap(scores))}`
            : "";
        }
        if (!busy) current = answer();
      },
      code: () => {
        const [x, y] = place();
        return `points = to_normalized(torch.tensor([[${x}.0, ${y}.0]]), (64, 64))`;
      },
      status: () => {
        const where = `The square's centre is pixel (${place().join(", ")}), `;
        return (
          where +
          (heldOut()
            ? "in the quarter of which neither network was shown a single square."
            : "in the three quarters that both networks were trained on.")
        );
      },
    });
  };
})();
