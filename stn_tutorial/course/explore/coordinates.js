// What CoordConv sees: coordinate channels of any size; and what a trained convolution
// and a trained CoordConv paint where they are asked to, as it was recorded.

(() => {
  const stn = globalThis.stn;
  const CANVAS = 64;
  const REACH = 4; // the square has 9×9 pixels
  const VIEW = [-0.5, -0.5, CANVAS - 0.5, CANVAS - 0.5];
  const NETWORKS = [
    ["convolution", "convolution"],
    ["coordconv", "CoordConv"],
  ];

  /**
   * The channels that stn_tutorial.add_coordinates appends: x, y and the radius.
   * @param {number} height
   * @param {number} width
   * @returns {{x: any, y: any, radius: any}} pictures
   */
  stn.coordinateChannels = (height, width) => {
    const made = (value) => {
      const pixels = new Float32Array(height * width);
      for (let j = 0, k = 0; j < height; j++) {
        const y = stn.toNormalized(j, height, false);
        for (let i = 0; i < width; i++) {
          pixels[k++] = value(stn.toNormalized(i, width, false), y);
        }
      }
      return { width, height, pixels };
    };
    return { x: made((x) => x), y: made((_, y) => y), radius: made(Math.hypot) };
  };

  /** A picture of sixteen levels: each a letter, and how often it comes. */
  stn.fromRuns = (runs, width) => {
    const levels = [];
    for (const [, letter, count] of runs.matchAll(/([a-p])(\d*)/g)) {
      const level = (letter.charCodeAt(0) - 97) / 15;
      for (let k = Number(count || 1); k > 0; k--) levels.push(level);
    }
    return { width, height: levels.length / width, pixels: levels };
  };

  /** The overlap of an answer with the square at a place: intersection over union. */
  const overlap = ({ pixels }, [x, y]) => {
    let [common, either] = [0, 0];
    pixels.forEach((level, k) => {
      const white = level >= 0.5;
      const across = Math.abs((k % CANVAS) - x) <= REACH;
      const wanted = across && Math.abs(Math.floor(k / CANVAS) - y) <= REACH;
      if (white && wanted) common++;
      if (white || wanted) either++;
    });
    return common / either;
  };

  stn.figures.coordinates = (root, model, data) => {
    const { places, splits } = data;
    const n = places.length;
    const split = () => splits[model.get("split")];
    const at = () => {
      const [x, y] = model.get("place");
      return places.indexOf(y) * n + places.indexOf(x);
    };
    const centre = (k) => [places[k % n], places[Math.floor(k / n)]];
    const nearest = (value) =>
      places.reduce((best, place) =>
        Math.abs(place - value) < Math.abs(best - value) ? place : best,
      );

    // Answers are unpacked once, when they are first looked at.
    const kept = new Map();
    const answer = (name, k = at()) => {
      const key = `${model.get("split")} ${name} ${k}`;
      if (!kept.has(key)) {
        const picture = stn.fromRuns(split()[name][k], CANVAS);
        kept.set(key, { picture, iou: overlap(picture, centre(k)) });
      }
      return kept.get(key);
    };

    const asked = stn.panel(VIEW, "asked for");
    const square = asked.path("stn-frame");
    const hidden = asked.path("stn-coordinates-hidden");
    const shown = NETWORKS.map(([name, words]) => {
      const panel = stn.panel(VIEW, words);
      const canvas = panel.canvas();
      canvas.classList.add(`stn-coordinates-${name}`);
      const first = places[0] - 2;
      const map = panel.canvas(first, first, first + 4 * n, first + 4 * n);
      const limit = panel.path("stn-coordinates-hidden");
      return { name, panel, canvas, map, limit, square: panel.path("stn-frame") };
    });
    const handle = stn.handle(asked, "place of the square, in pixels", {
      get: () => model.get("place"),
      move: (x, y) => model.set({ place: [nearest(x), nearest(y)] }),
      step: () => 4,
      digits: 0,
    });
    stn.aim(asked, (x, y) => model.set({ place: [nearest(x), nearest(y)] }));

    const channels = ["x", "y", "radius"].map((name) => {
      const element = stn.element("div", { class: "stn-coordinates-channel" });
      const canvas = stn.element("canvas", { class: `stn-coordinates-${name}` });
      const ends = stn.element("p", { class: "stn-caption" });
      element.append(ends, canvas);
      return { name, element, canvas, ends };
    });

    /** The outline of the square at a place. */
    const outline = ([x, y]) => {
      const r = REACH + 0.5;
      return stn.path(
        [
          [x - r, y - r],
          [x + r, y - r],
          [x + r, y + r],
          [x - r, y + r],
        ],
        true,
      );
    };
    const heldOut = (held) => {
      if (model.get("split") === "quadrant") return "M31.5 63.5V31.5H63.5";
      return stn.dots(held.flatMap((out, k) => (out ? [centre(k)] : [])));
    };

    const draw = () => {
      square.setAttribute("d", outline(model.get("place")));
      const out = heldOut(split().heldOut);
      const quarter = model.get("split") === "quadrant";
      hidden.setAttribute("d", out);
      hidden.classList.toggle("stn-coordinates-dots", !quarter);
      for (const { name, canvas, map, limit, square: wanted } of shown) {
        limit.setAttribute("d", quarter ? out : "");
        const all = model.get("map");
        map.hidden = !all;
        canvas.hidden = all;
        wanted.setAttribute("d", outline(model.get("place")));
        if (all) {
          const pixels = split().heldOut.map((_, k) => answer(name, k).iou);
          stn.paint(map, { width: n, height: n, pixels });
        } else {
          stn.paint(canvas, answer(name).picture);
        }
      }
      const [height, width] = [model.get("height"), model.get("width")];
      const made = stn.coordinateChannels(height, width);
      for (const { name, element, canvas, ends } of channels) {
        element.hidden = name === "radius" && !model.get("radius");
        const pixels = [...made[name].pixels];
        const [low, high] = [Math.min(...pixels), Math.max(...pixels)];
        const most = name === "radius" ? Math.SQRT2 : 1;
        stn.paint(canvas, made[name], (value) => stn.colours.signed(value / most));
        canvas.style.aspectRatio = `${width} / ${height}`;
        ends.textContent = `${name}: ${stn.number(low)} to ${stn.number(high)}`;
      }
    };

    const side = (name) =>
      stn.slider(name, {
        min: 1,
        max: 16,
        step: 1,
        get: () => model.get(name),
        set: (value) => model.set({ [name]: value }),
        say: (value) => `${value} px`,
      });
    const sides = [side("height"), side("width")];
    const radius = stn.toggle("radius", {
      get: () => model.get("radius"),
      set: (on) => model.set({ radius: on }),
    });
    const map = stn.toggle("overlap (IoU) at every location", {
      get: () => model.get("map"),
      set: (on) => model.set({ map: on }),
    });
    const held = stn.choice(
      "Held out",
      Object.keys(splits).map((name) => [name, name]),
      { get: () => model.get("split"), set: (name) => model.set({ split: name }) },
    );
    const controls = Object.keys(splits).length > 1 ? [held, map] : [map];
    const row = (...parts) =>
      stn.element("div", { class: "stn-controls" }, ...parts.map((p) => p.element));
    stn.compose(root, model, {
      body: [
        stn.element(
          "div",
          { class: "stn-coordinates-panels" },
          ...[asked, ...shown.map(({ panel }) => panel)].map((panel) => panel.element),
        ),
        row(...controls),
        stn.element(
          "p",
          { class: "stn-caption" },
          "the channels that CoordConv appends: negative blue, positive orange",
        ),
        stn.element(
          "div",
          { class: "stn-coordinates-channels" },
          ...channels.map(({ element }) => element),
        ),
        row(...sides, radius),
      ],
      handles: [handle, ...controls, ...sides, radius],
      draw,
      code: () => {
        const [height, width] = [model.get("height"), model.get("width")];
        const more = model.get("radius") ? ", radius=True" : "";
        return `add_coordinates(torch.zeros(1, 1, ${height}, ${width})${more})[0, 1:]`;
      },
      status: () => {
        const [x, y] = model.get("place");
        const out = split().heldOut[at()] ? "held out" : "not held out";
        const found = NETWORKS.map(([name, words]) => {
          const { picture, iou } = answer(name);
          const white = picture.pixels.filter((level) => level >= 0.5).length;
          return `${words} draws ${white} pixels white, IoU ${stn.number(iou)}`;
        });
        return `Asked for x ${x}, y ${y}, ${out}. The ${found.join("; ")}.`;
      },
    });
  };
})();
