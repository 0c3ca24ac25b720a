// Push and pull: one warp done both ways, pixel by pixel. Forward, every input pixel is
// pushed to the output pixel nearest to where it goes; inverse, every output pixel is
// pulled from the input pixel nearest to where it comes from.

(() => {
  const stn = globalThis.stn;
  const GAP = 2; // between the pictures, in pixels
  const ROOM = 1.9; // above a picture, for its caption
  const RATE = 0.036; // pixels that are played in a millisecond
  const HOLE = -1;
  const EMPTY = -2;

  const colour = (value) => {
    if (value === HOLE) return [230, 159, 0];
    return value === EMPTY ? [0, 0, 0, 0] : stn.colours.grey(value);
  };

  /** The nearest pixel; a tie is one in spite of rounding errors. */
  const nearest = (x) => stn.weights(Number(x.toFixed(6)), "nearest")[0][0];

  stn.figures.push_pull = (root, model, data) => {
    const image = stn.unpack(data.image);
    const n = image.width;
    const all = n * n;
    const step = () => Math.min(model.get("step"), all);
    const angle = () => model.get("angle");
    const scale = () => model.get("scale");

    /** Rotate and scale about the middle of the image, in pixel coordinates. */
    const turn = (degrees, factor, [x, y]) => {
      const [cos, sin] = [Math.cos, Math.sin].map(
        (f) => factor * f((degrees * Math.PI) / 180),
      );
      const middle = (n - 1) / 2;
      const [u, v] = [x - middle, y - middle];
      return [middle + cos * u - sin * v, middle + sin * u + cos * v];
    };
    const forward = (pixel) => turn(angle(), scale(), pixel);
    const inverse = (pixel) => turn(-angle(), 1 / scale(), pixel);
    const pixelAt = (k) => [k % n, Math.floor(k / n)];
    const present = () => model.get("pixel").map((x) => Math.min(x, n - 1));
    /** So many pixels are done, and the arrows are those of the last. */
    const goOn = (count) =>
      model.set({ step: count, pixel: pixelAt(Math.max(count - 1, 0)) });
    const inside = ([i, j]) => i >= 0 && i < n && j >= 0 && j < n;

    /** What has become of the pixels so far. */
    const run = () => {
      const pushed = new Array(all).fill(EMPTY);
      const pulled = new Array(all).fill(EMPTY);
      const taken = [];
      const count = { holes: 0, collisions: 0, left: 0, outside: 0 };
      for (let k = 0; k < step(); k++) {
        const to = forward(pixelAt(k)).map(nearest);
        if (inside(to)) {
          const place = to[1] * n + to[0];
          if (pushed[place] !== EMPTY) {
            count.collisions += 1;
            taken.push(to);
          }
          pushed[place] = image.pixels[k];
        } else count.left += 1;
        const from = inverse(pixelAt(k)).map(nearest);
        pulled[k] = inside(from) ? image.pixels[from[1] * n + from[0]] : 0;
        if (!inside(from)) count.outside += 1;
      }
      if (step() === all) {
        for (let k = 0; k < all; k++) {
          if (pushed[k] !== EMPTY) continue;
          const hole = inside(inverse(pixelAt(k)).map(nearest));
          pushed[k] = hole ? HOLE : 0;
          if (hole) count.holes += 1;
        }
      }
      return { pushed, pulled, taken, count };
    };

    const [width, height] = [2 * n + GAP, 2 * (n + ROOM)];
    const panel = stn.panel([-0.5, 0, width + 0.5, height + 0.5]);
    panel.element.classList.add("stn-push-panel");
    /** One of the three pictures: where its pixels are on the panel. */
    const picture = (left, top, caption) => {
      const plane = ([x, y]) => [left + x + 0.5, top + y + 0.5];
      const canvas = panel.canvas(left, top, left + n, top + n);
      const lines = [...Array(n + 1).keys()].map(
        (k) => `M${left + k} ${top}v${n}M${left} ${top + k}h${n}`,
      );
      panel.path("stn-rule", lines.join(""));
      panel.text(caption, left + n / 2, top - 0.8);
      const square = ([i, j]) => `M${left + i} ${top + j}h1v1h-1Z`;
      return { canvas, plane, square, left, top };
    };
    const input = picture((width - n) / 2, ROOM, "input");
    const outputs = [
      picture(0, 2 * ROOM + n, "output, pushed"),
      picture(n + GAP, 2 * ROOM + n, "output, pulled"),
    ];
    stn.paint(input.canvas, image);
    const collided = panel.path("stn-push-taken");
    const pushCell = panel.path("stn-push-from");
    const pullCell = panel.path("stn-push-to");
    const pushArrow = panel.path("stn-push-from");
    const pullArrow = panel.path("stn-push-to");
    const goTo = (i, j) => {
      const within = (value) => Math.min(Math.max(Math.round(value), 0), n - 1);
      model.set({ pixel: [within(i), within(j)] });
    };
    const handle = stn.handle(panel, "present pixel", {
      get: () => input.plane(present()),
      move: (x, y) => goTo(x - input.left - 0.5, y - input.top - 0.5),
      step: 1,
      style: "stn-first",
      say: () => `x ${present()[0]}, y ${present()[1]}`,
    });
    stn.aim(panel, (x, y) => {
      for (const { left, top } of [input, ...outputs]) {
        const [i, j] = [Math.floor(x - left), Math.floor(y - top)];
        if (inside([i, j])) goTo(i, j);
      }
    });

    const rows = { holes: "holes", collisions: "collisions", away: "outside the image" };
    const cells = {};
    const table = stn.element("table", { class: "stn-push-counts" });
    const head = ["", "pushed", "pulled"].map((words) => stn.element("th", {}, words));
    table.append(stn.element("tr", {}, ...head));
    for (const [key, words] of Object.entries(rows)) {
      cells[key] = [stn.element("td"), stn.element("td")];
      table.append(stn.element("tr", {}, stn.element("th", {}, words), ...cells[key]));
    }

    let played = -1;
    const play = stn.play("Play", {
      step: (milliseconds) => {
        if (Math.floor(played) !== step()) played = step() < all ? step() : 0;
        played = Math.min(played + RATE * milliseconds, all);
        const more = played < all;
        goOn(Math.floor(played));
        if (!more) played = -1;
        return more;
      },
      finish: () => goOn(all),
    });

    let seen = run();
    const draw = () => {
      seen = run();
      const { pushed, pulled, taken, count } = seen;
      const size = { width: n, height: n };
      stn.paint(outputs[0].canvas, { ...size, pixels: pushed }, colour);
      stn.paint(outputs[1].canvas, { ...size, pixels: pulled }, colour);
      collided.setAttribute("d", stn.dots(taken.map(outputs[0].plane)));
      const done = step() === all;
      const said = {
        holes: done ? [count.holes, 0] : ["…", 0],
        collisions: [count.collisions, 0],
        away: [count.left, count.outside],
      };
      for (const [key, values] of Object.entries(said)) {
        values.forEach((value, k) => (cells[key][k].textContent = String(value)));
      }
      // An arrow that leaves its picture ends beside it.
      const beside = (point) => point.map((x) => Math.min(Math.max(x, -1), n));
      const [to, from] = [forward(present()), inverse(present())];
      const [goes, comes] = [to.map(nearest), from.map(nearest)];
      const tail = input.plane(present());
      const head = outputs[0].plane(beside(to));
      pushArrow.setAttribute("d", stn.arrow(tail, head, 0.8));
      pushCell.setAttribute("d", inside(goes) ? outputs[0].square(goes) : "");
      const source = input.plane(beside(from));
      const asks = outputs[1].plane(present());
      pullArrow.setAttribute("d", stn.arrow(asks, source, 0.8));
      const cell = outputs[1].square(present());
      const found = inside(comes) ? input.square(comes) : "";
      pullCell.setAttribute("d", cell + found);
    };

    const pair = ([x, y], digits) =>
      `(${stn.number(x, digits)}, ${stn.number(y, digits)})`;
    stn.compose(root, model, {
      body: [stn.element("div", { class: "stn-panels" }, panel.element, table)],
      controls: [
        stn.slider("rotation", {
          ...{ min: -90, max: 90, step: 1, get: angle },
          set: (value) => model.set({ angle: value }),
          say: (value) => `${stn.number(value, 0)}°`,
        }),
        stn.slider("scale", {
          ...{ min: 0.5, max: 2, step: 0.05, get: scale },
          set: (value) => model.set({ scale: value }),
          say: (value) => stn.number(value),
        }),
        stn.slider("pixels done", {
          ...{ min: 0, max: all, step: 1, get: step },
          set: goOn,
          say: (value) => `${value} of ${all}`,
        }),
        play,
      ],
      handles: [handle],
      draw,
      code: () => {
        const middle = stn.plain((n - 1) / 2, 1);
        return (
          `matrix = rotation(math.radians(${stn.plain(angle(), 0)}), ` +
          `${stn.plain(scale())}, center=(${middle}, ${middle}))`
        );
      },
      status: () => {
        const { count } = seen;
        const [to, from] = [forward(present()), inverse(present())];
        const say = (point) =>
          inside(point.map(nearest))
            ? `nearest to pixel ${pair(point.map(nearest), 0)}`
            : "outside the image";
        const at = pair(present(), 0);
        const arrows =
          `Input pixel ${at} is pushed to ${pair(to)}, ${say(to)}. ` +
          `Output pixel ${at} is pulled from ${pair(from)}, ${say(from)}.`;
        const several = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
        return step() < all
          ? arrows
          : `Pushing leaves ${several(count.holes, "hole")} and makes ` +
              `${several(count.collisions, "collision")}, pulling none of either. ${arrows}`;
      },
    });
  };
})();
