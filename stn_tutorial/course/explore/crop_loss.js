// The crop's loss: a crop is dragged over a picture, and what it would pay there follows,
// as long as the crops of all other pictures stay as they are. It can be let go downhill.

(() => {
  const stn = globalThis.stn;
  const [CANVAS, SIDE] = [84, 28];
  const EDGES = [-0.5, -0.5, CANVAS - 0.5, CANVAS - 0.5];
  const FIRST = (SIDE - 1) / 2; // the crop's middle where it touches the edge
  const LAST = CANVAS - 1 - FIRST;
  const RATE = 40; // pixels a step where the slope is 1 a pixel
  const [LONGEST, SHORTEST] = [3, 0.1]; // pixels of a step, and where it stands still
  const STEPS = 60; // of a descent, at most
  const PACE = 90; // milliseconds a step
  const NUMBERS = [
    ["loss", "the loss"],
    ["pull", "pull alone"],
    ["push", "push alone"],
  ];
  /** From what descent looks for, dark green, to what it flees, nearly white. */
  const colour = (value) => [0, 84, 61].map((dark) => dark + value * (244 - dark));

  stn.figures.crop_loss = (root, model, data) => {
    const image = stn.unpack(data.image);
    const maps = data.maps.map(({ numbers }) =>
      Object.fromEntries(
        Object.entries(numbers).map(([name, { least, most, map }]) => [
          name,
          { least, most, map: stn.unpack(map) },
        ]),
      ),
    );
    // One scale for a number, whatever the others crop, so that maps compare.
    const scales = Object.fromEntries(
      NUMBERS.map(([name]) => {
        const both = maps.map((numbers) => numbers[name]);
        const least = Math.min(...both.map((each) => each.least));
        return [name, { least, most: Math.max(...both.map((each) => each.most)) }];
      }),
    );
    const cells = maps[0].loss.map.width - 1; // of a map, along either axis
    const perPixel = cells / (LAST - FIRST);
    const place = () => model.get("place");
    const shown = () => model.get("shown");
    const within = (value) => Math.min(Math.max(value, FIRST), LAST);
    const at = (x, y) => [x, y].map((v) => Math.round(100 * within(v)) / 100);
    const choose = (x, y) => model.set({ place: at(x, y), trail: [] });

    /** A number at a place, with its slopes for a pixel. */
    const read = (name, [x, y]) => {
      const { least, most, map } = maps[model.get("others")][name];
      const cell = [x, y].map((value) => perPixel * (value - FIRST));
      const [value, ...slopes] = stn.slopesAt(map, ...cell, "border");
      const range = most - least;
      return [least + range * value, ...slopes.map((s) => range * perPixel * s)];
    };
    /**
     * Where a step leads from a place: downhill, or for the push uphill. One that makes
     * nothing better is halved; the place itself, if none does.
     */
    const next = (from) => {
      const [value, ...slopes] = read(shown(), from);
      const sign = shown() === "push" ? 1 : -1;
      const steep = Math.hypot(...slopes);
      let length = Math.min(RATE * steep, LONGEST);
      for (; length >= SHORTEST; length /= 2) {
        const to = at(...from.map((v, k) => v + (sign * length * slopes[k]) / steep));
        if (sign * (read(shown(), to)[0] - value) > 0) return to;
      }
      return from;
    };
    /** Go a step; says whether it led anywhere. */
    const step = () => {
      const [from, to] = [place(), next(place())];
      if (to === from) return false;
      model.set({ place: to, trail: [...model.get("trail"), from] });
      return true;
    };

    /** Intersection over union of the crop with the true box. */
    const overlap = () => {
      const common = [0, 1].reduce((area, k) => {
        const low = Math.max(place()[k] - SIDE / 2, data.box[k]);
        const high = Math.min(place()[k] + SIDE / 2, data.box[k + 2]);
        return area * Math.max(high - low, 0);
      }, 1);
      return common / (2 * SIDE * SIDE - common);
    };
    const square = (left, top) => `M${left} ${top}h${SIDE}v${SIDE}h${-SIDE}Z`;
    const params = () => {
      const [x, y] = place().map((value) => stn.toNormalized(value, CANVAS, false));
      return [SIDE / CANVAS, 0, x, 0, SIDE / CANVAS, y];
    };

    const picture = stn.panel(EDGES, "a picture, and the crop");
    stn.paint(picture.canvas(), image);
    const truth = picture.path("stn-crop-loss-true");
    const crop = picture.path("stn-crop-loss-crop");
    stn.aim(picture, choose);
    const land = stn.panel(EDGES, " ");
    const sea = land.canvas(FIRST - 1, FIRST - 1, LAST + 1, LAST + 1);
    sea.classList.add("stn-crop-loss-map");
    const trail = land.path("stn-crop-loss-trail");
    const dot = land.path("stn-output-dots");
    stn.aim(land, choose);
    const output = stn.panel([-1, -1, 1, 1], "the crop");
    const out = output.canvas();
    out.classList.add("stn-out");

    const handle = stn.handle(picture, "middle of the crop", {
      get: place,
      move: choose,
      step: 2,
      digits: 1,
      style: "stn-third",
    });
    const others = stn.choice(
      "The other pictures crop",
      data.maps.map(({ words }, k) => [k, words]),
      {
        get: () => model.get("others"),
        set: (k) => model.set({ others: k, trail: [] }),
      },
    );
    const number = stn.choice("Follow", NUMBERS, {
      get: shown,
      set: (name) => model.set({ shown: name, trail: [] }),
    });
    const one = stn.button("One step", step);
    let waited = 0; // milliseconds since the step before
    const descend = stn.play("Go on", {
      step: (milliseconds) => {
        waited += milliseconds;
        if (waited < PACE) return true;
        waited = 0;
        return model.get("trail").length < STEPS && step();
      },
      finish: () => {
        while (model.get("trail").length < STEPS && step());
      },
    });
    const numbers = stn.element("div", { class: "stn-crop-loss-numbers" });
    const values = NUMBERS.map(([name]) => {
      const value = stn.element("strong");
      numbers.append(stn.element("span", {}, `${name} `, value));
      return { name, value };
    });
    const panels = stn.panels(picture, land, {
      element: stn.element("div", { class: "stn-small" }, output.element, numbers),
    });
    panels.classList.add("stn-crop-loss-panels");

    let painted = null; // which map is on its canvas
    stn.compose(root, model, {
      body: [panels],
      controls: [
        number,
        others,
        one,
        descend,
        stn.toggle("true box", {
          get: () => model.get("box"),
          set: (box) => model.set({ box }),
        }),
      ],
      handles: [handle],
      draw: () => {
        const [x, y] = place();
        crop.setAttribute("d", square(x - SIDE / 2, y - SIDE / 2));
        truth.setAttribute("d", model.get("box") ? square(...data.box) : "");
        const wanted = `${model.get("others")} ${shown()}`;
        const { least, most } = scales[shown()];
        if (painted !== wanted) {
          const { least: low, most: high, map } = maps[model.get("others")][shown()];
          const uphill = shown() === "push";
          stn.paint(sea, map, (value) => {
            const share = (low + (high - low) * value - least) / (most - least);
            return colour(uphill ? 1 - share : share);
          });
          painted = wanted;
        }
        const [dark, light] = shown() === "push" ? [most, least] : [least, most];
        land.element.querySelector(".stn-caption").textContent =
          `${shown()} by place: dark ${stn.number(dark)}, light ${stn.number(light)}`;
        trail.setAttribute("d", stn.path([...model.get("trail"), place()]));
        dot.setAttribute("d", stn.dots([place()]));
        const grid = stn.grid(stn.affine, params(), [SIDE, SIDE]);
        stn.paint(out, stn.sample(image, grid, [SIDE, SIDE]));
        for (const { name, value } of values) {
          value.textContent = stn.number(read(name, place())[0]);
        }
      },
      code: () => {
        const [a, , x, , , y] = params();
        const all = [a, x, y].map((value) => stn.plain(value, 3)).join(", ");
        return `params = torch.tensor([[${all}]])`;
      },
      status: () => {
        const iou = overlap();
        const steps = model.get("trail").length;
        const still = next(place()) === place();
        return (
          `After ${steps} ${steps === 1 ? "step" : "steps"}, ` +
          `${still ? "no slope leads" : "a slope leads"} on from here. IoU ` +
          `${stn.number(iou)}: ${iou > 0.5 ? "found" : "not found"}.`
        );
      },
    });
  };
})();
