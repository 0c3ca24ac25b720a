// Two windows: a picture of two channels, each with a digit that was rotated alone. A
// window rotates both channels alike; it takes two to show both digits upright.

(() => {
  const stn = globalThis.stn;
  const RADIANS = Math.PI / 180;
  const VIEW = [-1.45, -1.45, 1.45, 1.45]; // the corner of a square that is rotated
  const OUT = [56, 56];
  const STYLES = ["stn-first", "stn-third"];
  const NAMES = ["first", "second"];

  const { wrapped } = stn;

  stn.figures.two_windows = (root, model, data) => {
    const channels = data.channels.map(stn.unpack);
    const angles = () => model.get("angles");
    const windows = () => [0, 1].slice(0, model.get("windows"));
    const theta = (k) => {
      const [cosine, sine] = [Math.cos, Math.sin].map((f) => f(angles()[k] * RADIANS));
      return [cosine, -sine, 0, sine, cosine, 0];
    };
    const rotate = (k, degrees) => {
      // A slider's ends stay where they are.
      const angle = Math.abs(degrees) > 180 ? wrapped(degrees) : degrees;
      model.set({
        angles: angles().map((old, n) => (n === k ? Math.round(10 * angle) / 10 : old)),
      });
    };
    /** How far a digit is from upright in what a window shows. */
    const off = (digit, window) => wrapped(data.upright[digit] - angles()[window]);
    /** What is left of a digit in the window that shows it best. */
    const left = (digit) =>
      Math.min(...windows().map((window) => Math.abs(off(digit, window))));

    const inputs = channels.map((channel, digit) => {
      const panel = stn.panel(VIEW, `channel ${digit + 1}`);
      stn.paint(panel.canvas(-1, -1, 1, 1), channel);
      const frames = STYLES.map((style) => [
        panel.path(style),
        panel.path(`${style} stn-two-top`),
      ]);
      return { panel, frames };
    });
    const outputs = [0, 1].map((window) =>
      channels.map((_, digit) => {
        const words = `window ${window + 1}, channel ${digit + 1}`;
        const panel = stn.panel([-1, -1, 1, 1], words);
        const canvas = panel.canvas();
        canvas.classList.add("stn-out");
        return { panel, canvas };
      }),
    );
    const handles = [0, 1].map((k) =>
      stn.handle(inputs[k].panel, `upper edge of window ${k + 1}, rotates it`, {
        get: () => {
          const [x, y] = stn.affine.at(theta(k), 0, -1);
          return [x, y];
        },
        move: (x, y) => {
          if (Math.hypot(x, y) > 0.05) rotate(k, Math.atan2(x, -y) / RADIANS);
        },
        say: () => `${stn.number(angles()[k], 0)}°`,
        style: STYLES[k],
      }),
    );
    const sliders = [0, 1].map((k) =>
      stn.slider(`angle of window ${k + 1}`, {
        min: -180,
        max: 180,
        step: 1,
        get: () => angles()[k],
        set: (degrees) => rotate(k, degrees),
        say: (degrees) => `${stn.number(degrees, 0)}°`,
      }),
    );
    const count = stn.choice(
      "Transformers",
      [
        [1, "one"],
        [2, "two, side by side"],
      ],
      {
        get: () => model.get("windows"),
        set: (wanted) => model.set({ windows: wanted }),
      },
    );
    const grid = stn.element(
      "div",
      { class: "stn-two-grid" },
      ...inputs.map(({ panel }) => panel.element),
      ...outputs.flat().map(({ panel }) => panel.element),
    );
    const draw = () => {
      [0, 1].forEach((window) => {
        const shown = window < model.get("windows");
        const warp = theta(window);
        const corners = stn.corners.map(([x, y]) => stn.affine.at(warp, x, y));
        for (const { frames } of inputs) {
          const [outline, top] = frames[window];
          outline.setAttribute("d", shown ? stn.path(corners, true) : "");
          top.setAttribute("d", shown ? stn.path(corners.slice(0, 2)) : "");
        }
        outputs[window].forEach(({ panel, canvas }, digit) => {
          panel.element.hidden = !shown;
          if (!shown) return;
          const points = stn.grid(stn.affine, warp, OUT);
          stn.paint(canvas, stn.sample(channels[digit], points, OUT));
        });
        handles[window].element.hidden = !shown;
        sliders[window].element.hidden = !shown;
      });
    };

    stn.compose(root, model, {
      body: [grid],
      controls: [
        count,
        ...sliders,
        stn.toggle("tell the sum", {
          get: () => model.get("told"),
          set: (told) => model.set({ told }),
        }),
      ],
      handles,
      draw,
      code: () => {
        const all = windows().map((k) => stn.plain(angles()[k], 1));
        return `thetas = rotation(torch.tensor([${all.join(", ")}]).deg2rad())`;
      },
      status: () => {
        const [one, other] = [0, 1].map(left);
        const apart = Math.abs(wrapped(data.upright[0] - data.upright[1]));
        const least = model.get("windows") === 1 ? apart ** 2 / 2 : 0;
        const words = NAMES.map(
          (name, k) => `${stn.number([one, other][k], 0)}° of the ${name} digit`,
        );
        const [first, second] = data.digits;
        return (
          `Left over: ${words.join(", ")}. Their squares sum to ` +
          `${stn.number(one ** 2 + other ** 2, 0)}; the least that ` +
          `${model.get("windows") === 1 ? "one window" : "two"} can leave is ` +
          `${stn.number(least, 0)}.` +
          (model.get("told") ? ` ${first} + ${second} = ${first + second}.` : "")
        );
      },
    });
  };
})();
