// Register: a photograph slides over another, downhill on the loss of all shifts. The
// landscape and where its descents end are recorded; the descent itself is computed here.

(() => {
  const stn = globalThis.stn;
  const SPEED = 0.04; // steps a millisecond
  const BANDS = 16; // of the landscape, between which level lines are seen
  const FINE = 4; // pixels of the map for each recorded value
  const SAID = {
    blend: "fixed orange, moving blue, alike grey",
    difference: "moving minus fixed: orange above, blue below 0",
    tiles: "tiles of the fixed and the moving photograph",
  };
  const TILE = 8; // pixels
  const GREEN = [0, 158, 115];

  /** Blur an image whose border is continued: a Gaussian of so many pixels. */
  const blurred = (image, sigma) => {
    if (sigma === 0) return image;
    const radius = Math.ceil(3 * sigma);
    const kernel = [];
    for (let t = -radius; t <= radius; t++) {
      kernel.push(Math.exp((-t * t) / (2 * sigma * sigma)));
    }
    const sum = kernel.reduce((total, weight) => total + weight, 0);
    const n = image.width;
    const clamp = (k) => Math.min(Math.max(k, 0), n - 1);
    /** Along lines whose pixels lie `step` apart, and which begin `next` apart. */
    const along = (pixels, step, next) => {
      const out = new Float64Array(pixels.length);
      for (let line = 0; line < n; line++) {
        for (let k = 0; k < n; k++) {
          let value = 0;
          for (let t = -radius; t <= radius; t++) {
            const weight = kernel[t + radius];
            value += weight * pixels[line * next + clamp(k + t) * step];
          }
          out[line * next + k * step] = value / sum;
        }
      }
      return out;
    };
    return { ...image, pixels: along(along(image.pixels, 1, n), n, 1) };
  };

  stn.figures.register = (root, model, data) => {
    const { truth, rim, reach, blurs } = data;
    const exact = (image) => ({
      ...image,
      pixels: Float64Array.from(image.pixels, (value) => Math.round(255 * value) / 255),
    });
    const pictures = [data.moving, data.fixed].map((packed) => exact(stn.unpack(packed)));
    const n = pictures[0].width;
    const half = n / 2;
    const which = (sigma) => Math.max(blurs.indexOf(sigma), 0);

    const pairs = new Map();
    /** Both photographs, as blurred as the descent sees them. */
    const pair = (sigma) => {
      if (!pairs.has(sigma)) {
        pairs.set(
          sigma,
          pictures.map((picture) => blurred(picture, sigma)),
        );
      }
      return pairs.get(sigma);
    };

    /** The loss at a shift in pixels, and its slopes along x and y. */
    const lossAt = ([moving, fixed], x, y) => {
      let [loss, alongX, alongY] = [0, 0, 0];
      for (let j = rim; j < n - rim; j++) {
        for (let i = rim; i < n - rim; i++) {
          const read = stn.slopesAt(moving, i + x, j + y, "border");
          const off = read[0] - fixed.pixels[j * n + i];
          loss += off * off;
          alongX += 2 * off * read[1];
          alongY += 2 * off * read[2];
        }
      }
      const count = (n - 2 * rim) ** 2;
      return [loss / count, alongX / count, alongY / count];
    };

    /** Descend from a shift in pixels by Adam, in normalized units as the package does. */
    const descent = (start, sigma, rate) => {
      const at = start.map((value) => value / half);
      const [mean, square] = [
        [0, 0],
        [0, 0],
      ];
      const points = [start];
      return {
        points,
        step: () => {
          const [, ...slopes] = lossAt(pair(sigma), half * at[0], half * at[1]);
          const count = points.length;
          slopes.forEach((slope, k) => {
            const pull = half * slope;
            mean[k] += 0.1 * (pull - mean[k]);
            square[k] += 0.001 * (pull * pull - square[k]);
            const usual = Math.sqrt(square[k] / (1 - 0.999 ** count)) + 1e-8;
            at[k] -= (rate * mean[k]) / (1 - 0.9 ** count) / usual;
          });
          points.push(at.map((value) => half * value));
        },
      };
    };

    const walks = new Map(); // of each beginning and blur, what has been walked already
    const walk = (start, sigma, steps) => {
      const rate = model.get("rate");
      const key = `${start} ${sigma} ${rate}`;
      if (walks.size > 200) walks.clear();
      if (!walks.has(key)) walks.set(key, descent(start, sigma, rate));
      const { points, step } = walks.get(key);
      while (points.length <= steps) step();
      return points.slice(0, steps + 1);
    };

    /** All shifts that were passed: one list for each stage. */
    const ways = () => {
      let at = model.get("start");
      return model.get("stages").map(([sigma, steps]) => {
        const way = walk(at, sigma, steps);
        at = way[way.length - 1];
        return way;
      });
    };
    const here = () => ways().pop()?.pop() ?? model.get("start");
    const missed = ([x, y]) => Math.hypot(x - truth[0], y - truth[1]);

    // The map, and on it who arrives, the way, the truth and the start.
    const edge = reach + 0.5;
    const unit = reach < 12 ? 2 : reach < 22 ? 5 : 10;
    const ticks = [-2, -1, 0, 1, 2].map((k) => k * unit);
    const map = stn.axes([-edge, -edge, edge, edge], {
      x: "shift x (pixels)",
      y: "shift y (pixels)",
      xTicks: ticks,
      yTicks: ticks,
      ratio: 1,
      caption: "loss over shifts, dark is low",
    });
    const quarter = 0.25;
    const corners = [
      -reach - quarter,
      -reach - quarter,
      reach + quarter,
      reach + quarter,
    ];
    const landscape = map.canvas(...corners);
    const basin = map.canvas(-edge, -edge, edge, edge);
    basin.classList.add("stn-basin");
    const lines = [map.path("stn-way-around"), map.path("stn-way")];
    const stops = map.path("stn-stops");
    const place = [map.path("stn-place-around"), map.path("stn-place")];
    map.put(stn.element("span", { class: "stn-star" }, "★"), ...truth);

    // The photographs, laid over one another as the shift says.
    const over = stn.panel([0, 0, n, n], SAID.blend);
    const picture = over.canvas();
    picture.classList.add("stn-over");
    over.path("stn-inner", `M${rim} ${rim}H${n - rim}V${n - rim}H${rim}Z`);

    const keys = [
      ["stn-key-start", "start"],
      ["stn-key-place", "where it stands"],
      ["stn-key-truth", "the truth"],
      ["stn-key-near", "starts that end within 1 px of it"],
      ["stn-key-arrived", `within ${data.arrived} px`],
    ].map(([style, words]) =>
      stn.element("span", { class: `stn-key ${style}` }, `${words} `),
    );
    const side = stn.element("div", { class: "stn-side" });
    side.append(over.element, stn.element("p", { class: "stn-keys" }, ...keys));

    const maps = new Map();
    /** The landscape of a blur, between its level lines in one grey each. */
    const terrain = (sigma) => {
      if (!maps.has(sigma)) {
        const map = stn.unpack(data.maps[which(sigma)]);
        const side = FINE * map.width;
        const grid = stn.grid(stn.translation, [0, 0], [side, side]);
        const fine = stn.sample(map, grid, [side, side], { padding: "border" });
        fine.pixels = fine.pixels.map((value) => {
          const band = Math.min(Math.floor(BANDS * value), BANDS - 1);
          return 0.08 + (0.9 * band) / (BANDS - 1);
        });
        maps.set(sigma, fine);
      }
      return maps.get(sigma);
    };
    const ends = data.misses.map((packed) => {
      const misses = stn.unpack(packed);
      return { ...misses, pixels: misses.pixels.map((value) => 32 * value) };
    });
    const share = (sigma, most) => {
      const { pixels } = ends[which(sigma)];
      return pixels.filter((miss) => miss < most).length / pixels.length;
    };
    const tint = (miss) => [...GREEN, miss < 1 ? 120 : miss < data.arrived ? 60 : 0];

    let painted = null;
    const drawMap = () => {
      const sigma = model.get("blur");
      if (painted !== sigma) {
        stn.paint(landscape, terrain(sigma));
        stn.paint(basin, ends[which(sigma)], tint);
        painted = sigma;
      }
      for (const part of [basin, ...keys.slice(3)]) part.hidden = !model.get("basin");
      const passed = ways();
      const said = passed.map((way) => stn.path(way)).join("");
      lines.forEach((line) => line.setAttribute("d", said));
      stops.setAttribute("d", stn.dots(passed.map((way) => way[0])));
      const at = stn.dots(passed.length ? [here()] : []);
      place.forEach((dot) => dot.setAttribute("d", at));
    };

    const VIEWS = {
      // What only the fixed one saw is grey, what only the moving one saw is not there.
      difference: (fixed, read) =>
        read === null ? [225, 225, 225] : stn.colours.signed(2 * (read - fixed)),
      blend: (fixed, read) => {
        if (read === null) return stn.colours.grey(0.25 + 0.5 * fixed);
        return [255 * fixed, 127 * (fixed + read), 255 * read];
      },
      tiles: (fixed, read, i, j) => {
        const first = (Math.floor(i / TILE) + Math.floor(j / TILE)) % 2 === 0;
        return stn.colours.grey(first || read === null ? fixed : read);
      },
    };
    const drawOver = () => {
      const [moving, fixed] = model.get("seen") ? pair(model.get("blur")) : pictures;
      const [x, y] = here();
      const colour = VIEWS[model.get("view")];
      over.element.querySelector(".stn-caption").textContent = SAID[model.get("view")];
      const grid = stn.grid(stn.translation, [x / half, y / half], [n, n]);
      const { pixels } = stn.sample(moving, grid, [n, n], { padding: "border" });
      const within = (k) => k > -0.5 && k < n - 0.5;
      const places = Uint16Array.from(pixels, (_, k) => k);
      stn.paint(picture, { width: n, height: n, pixels: places }, (k) => {
        const [i, j] = [k % n, Math.floor(k / n)];
        const seen = within(i + x) && within(j + y);
        return colour(fixed.pixels[k], seen ? pixels[k] : null, i, j);
      });
    };

    /** Stages with some more steps: of the last one, or of a new one. */
    const further = (steps) => {
      const stages = model.get("stages").map((stage) => [...stage]);
      const sigma = model.get("blur");
      const last = stages[stages.length - 1];
      if (!last || last[0] !== sigma) stages.push([sigma, 0]);
      const now = stages[stages.length - 1];
      now[1] = Math.min(now[1] + steps, data.steps);
      return stages;
    };
    const done = () => {
      const last = model.get("stages").slice(-1)[0];
      return Boolean(last) && last[0] === model.get("blur") && last[1] >= data.steps;
    };
    let rest = 0; // of a step, in time that has passed
    const play = stn.play("Play", {
      step: (milliseconds) => {
        if (done()) return false;
        rest += SPEED * Math.min(milliseconds, 100); // a late frame is no leap
        const steps = Math.floor(rest);
        rest -= steps;
        if (steps) model.set({ stages: further(steps) });
        return !done();
      },
      finish: () => model.set({ stages: further(data.steps) }),
    });
    const begin = (x, y) => {
      play.stop();
      const start = [x, y].map((value) => {
        const kept = Math.min(Math.max(value, -reach), reach);
        return Math.round(10 * kept) / 10;
      });
      model.set({ start, stages: [] });
    };
    stn.aim(map, begin);
    const start = stn.handle(map, "start of the descent", {
      get: () => model.get("start"),
      move: begin,
      step: 1,
      digits: 1,
      style: "stn-start",
    });

    const back = stn.button("Back to the start", () => {
      play.stop();
      model.set({ stages: [] });
    });
    const buttons = stn.element(
      "div",
      { class: "stn-controls" },
      play.element,
      back.element,
    );
    const ground = stn.element("div", {}, map.element, buttons); // what plays, and where

    const px = (value, digits = 1) => `${stn.number(value, digits)} px`;
    stn.compose(root, model, {
      body: [stn.panels({ element: ground }, { element: side })],
      controls: [
        stn.choice(
          "Blur (px)",
          blurs.map((sigma) => [sigma, String(sigma)]),
          { get: () => model.get("blur"), set: (blur) => model.set({ blur }) },
        ),
        stn.choice(
          "Learning rate",
          data.rates.map((rate) => [rate, String(rate)]),
          {
            get: () => model.get("rate"),
            set: (rate) => {
              play.stop();
              model.set({ rate, stages: [] }); // the same start, for comparison
            },
          },
        ),
        stn.choice(
          "Show",
          Object.keys(SAID).map((view) => [view, view]),
          {
            get: () => model.get("view"),
            set: (view) => model.set({ view }),
          },
        ),
        stn.toggle("blurred, as the descent sees them", {
          get: () => model.get("seen"),
          set: (seen) => model.set({ seen }),
        }),
        stn.toggle("starts that arrive", {
          get: () => model.get("basin"),
          set: (basin) => model.set({ basin }),
        }),
      ],
      handles: [start, play, back],
      draw: () => {
        drawMap();
        drawOver();
      },
      code: () => {
        const [x, y] = model.get("start").map((value) => stn.plain(value / half, 4));
        const stages = model.get("stages").map((stage) => `(${stage.join(", ")})`);
        const first = `theta = torch.tensor([[1, 0, ${x}, 0, 1, ${y}]])`;
        if (!stages.length) return first;
        return (
          `${first}\nfor sigma, steps in [${stages.join(", ")}]:\n` +
          "    pair = blur(moving, sigma), blur(distant, sigma)\n" +
          `    theta = descend(*pair, theta, steps, ${model.get("rate")}, only_shifts)[-1]`
        );
      },
      status: () => {
        const [at, sigma] = [here(), model.get("blur")];
        const [loss] = lossAt(pair(sigma), ...at);
        const blur = sigma ? `blurred by ${sigma} px` : "without a blur";
        const total = model.get("stages").reduce((sum, [, steps]) => sum + steps, 0);
        const when = total ? `After ${total} steps` : "At the start";
        let said =
          `${when} the shift is (${at.map((value) => stn.number(value, 1)).join(", ")}) ` +
          `px, ${px(missed(at), 2)} from the truth; loss × 1000, ${blur}: ` +
          `${stn.number(1000 * loss, 2)}.`;
        if (done()) {
          const off = missed(at);
          if (off < 1) said += " It has arrived.";
          else if (off >= data.arrived) said += " It has not arrived.";
          else if (!sigma) said += " It has stopped close by.";
          else said += " It has come close, as far as this blur leads.";
        }
        if (model.get("basin")) {
          const [near, all] = [1, data.arrived].map((most) =>
            stn.number(100 * share(sigma, most), 0),
          );
          said +=
            ` Of all starts on the map, ${blur} and with the rate ${data.rate}, ` +
            `${all} % end within ` +
            `${data.arrived} px of the truth, ${near} % within 1 px.`;
        }
        return said;
      },
    });
  };
})();
