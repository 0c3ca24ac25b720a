// The clinic: runs that went wrong. Frames, outputs and a monitor's numbers are the
// symptoms; a diagnosis is chosen, and then what was hidden is shown.

(() => {
  const stn = globalThis.stn;

  /** By name: words, the axis with its upper end and ticks, and how a value is said. */
  const NUMBERS = {
    loss: { words: "loss", axis: "loss", most: 3, ticks: [0, 1, 2], digits: 2 },
    outside: {
      words: "outside",
      axis: "share of the grid outside (%)",
      most: 105,
      ticks: [0, 50, 100],
      digits: 0,
      factor: 100,
      unit: "%",
    },
    localization: {
      words: "gradient",
      axis: "gradient norm of the localization network",
      most: 60,
      ticks: [0, 20, 40],
      digits: 2,
    },
    moved: {
      words: "moved",
      axis: "moved since the look before (px)",
      most: 10,
      ticks: [0, 5],
      digits: 1,
      unit: " px",
    },
    spread: {
      words: "spread",
      axis: "spread of the grids (px)",
      most: 10,
      ticks: [0, 5],
      digits: 1,
      unit: " px",
    },
    scale: {
      words: "pixels a step",
      axis: "a step of the output (px of the input)",
      most: 2.2,
      ticks: [0, 1, 2],
      digits: 2,
      unit: " px",
    },
  };

  stn.figures.clinic = (root, model, data) => {
    const { runs, diagnoses } = data;
    const run = () => runs[model.get("run")];
    const look = () => Math.min(model.get("look"), run().steps.length - 1);
    const chosen = () => model.get("answers")[model.get("run")];
    const looked = () => model.get("looked")[model.get("run")];
    const replaced = (name, value) =>
      model.get(name).map((old, k) => (k === model.get("run") ? value : old));
    const said = (name, value) => {
      const { digits, factor = 1, unit = "" } = NUMBERS[name];
      return `${stn.number(factor * value, digits)}${unit}`;
    };

    const unpacked = runs.map(({ pictures, size }) =>
      pictures.map((bytes) => stn.unpack({ width: size, height: size, bytes })),
    );
    const shown = unpacked[0].map(stn.framedDigit);
    const digits = stn.element(
      "div",
      { class: "stn-clinic-digits" },
      ...shown.map(({ element }) => element),
    );

    const end = Math.max(...runs.flatMap(({ steps }) => steps));
    const charts = Object.entries(NUMBERS).map(([name, { axis, most, ticks }]) => {
      const axes = stn.axes([0, most, end + 6, 0], {
        x: "step",
        y: axis,
        xTicks: [0, 50, 100, 150, 200],
        yTicks: ticks,
        ratio: 1.6,
      });
      return {
        ...{ name, axes, twin: axes.path("stn-clinic-twin") },
        ...{ line: axes.path("stn-clinic-run"), dot: axes.path("stn-clinic-dot") },
        beyond: axes.text("", (end + 6) / 2, 0.06 * most, "stn-clinic-beyond"),
      };
    });
    const chart = stn.element("div", {}, ...charts.map(({ axes }) => axes.element));

    const slider = stn.slider("Look", {
      min: 0,
      max: runs[0].steps.length - 1,
      step: 1,
      get: look,
      set: (k) => model.set({ look: k }),
      say: (k) => `step ${run().steps[k]}`,
    });
    const choice = stn.choice(
      "Diagnosis",
      diagnoses.map(({ name, words }) => [name, words]),
      {
        get: chosen,
        set: (name) =>
          model.set({
            answers: replaced("answers", name),
            looked: replaced("looked", false),
          }),
      },
    );
    choice.element.classList.add("stn-clinic-choice");
    const button = stn.button("Look at the cause", () =>
      model.set({ looked: replaced("looked", true) }),
    );
    const hidden = stn.element("div", { class: "stn-clinic-hidden", role: "status" });

    /** A value on its axis; what is beyond it lies on the edge. */
    const onAxis = (name, value) => {
      const { factor = 1, most } = NUMBERS[name];
      return Math.min(factor * value, most);
    };

    let drawn = null; // the run whose pictures are on the canvases
    const draw = () => {
      const { thetas, steps, numbers, fill, fault } = run();
      const images = unpacked[model.get("run")];
      shown.forEach((digit, k) => {
        if (drawn !== fault) digit.paint(images[k]);
        const theta = thetas[look()].slice(6 * k, 6 * k + 6).map((value) => value / 1000);
        digit.show(images[k], theta, { fill });
      });
      drawn = fault;
      for (const { name, axes, twin, line, dot, beyond } of charts) {
        axes.element.hidden = name !== model.get("number");
        const [ill, well] = numbers[name].map((values) =>
          values.map((value, k) => [steps[k], onAxis(name, value)]),
        );
        twin.setAttribute("d", stn.path(well));
        line.setAttribute("d", stn.path(ill));
        dot.setAttribute("d", stn.dots([ill[look()]]));
        const { factor = 1, most } = NUMBERS[name];
        const highest = numbers[name].map((values) => Math.max(...values));
        const words = highest.map((value, k) =>
          factor * value > most
            ? `${k ? "the twin" : "the run"} ${said(name, value)}`
            : "",
        );
        const listed = words.filter(Boolean).join(", ");
        beyond.textContent = listed ? `↑ up to: ${listed}` : "";
      }
      button.element.disabled = !chosen();
      hidden.hidden = !(looked() && chosen());
      if (hidden.hidden) return hidden.replaceChildren();
      const wordsOf = (wanted) => diagnoses.find(({ name }) => name === wanted);
      const right = chosen() === fault;
      const verdict = right
        ? `Right, it is ${wordsOf(fault).words}.`
        : `It is ${wordsOf(fault).words}.`;
      const part = (head, words) =>
        stn.element("p", {}, stn.element("strong", {}, head), ` ${words}`);
      const [why, tells, does] = run().hidden;
      hidden.replaceChildren(
        part(
          verdict,
          right ? "" : `With ${wordsOf(chosen()).words}, ${wordsOf(chosen()).then}`,
        ),
        part("Why.", why),
        part("The number that tells.", tells),
        part("What to do.", does),
      );
    };

    const which = stn.choice(
      "Run",
      runs.map((_, k) => [k, `${k + 1}`]),
      { get: () => model.get("run"), set: (k) => model.set({ run: k }) },
    );
    const number = stn.choice(
      "Number",
      Object.entries(NUMBERS).map(([name, { words }]) => [name, words]),
      { get: () => model.get("number"), set: (name) => model.set({ number: name }) },
    );
    const caption = "six test digits with their frames; below, what is passed on";
    const pictures = stn.element(
      "div",
      {},
      stn.element("p", { class: "stn-caption" }, caption),
      digits,
      slider.element,
    );
    const row = (...parts) => stn.element("div", { class: "stn-controls" }, ...parts);
    stn.compose(root, model, {
      body: [
        row(which.element),
        stn.panels({ element: pictures }, { element: chart }),
        row(number.element),
        row(choice.element, button.element),
        hidden,
      ],
      handles: [which, number, slider, choice],
      draw,
      code: () => `clinic.run, clinic.look = ${model.get("run")}, ${look()}`,
      status: () => {
        const { numbers, steps } = run();
        const at = Object.keys(NUMBERS).map((name) => {
          const [ill, well] = numbers[name].map((values) => said(name, values[look()]));
          return `${NUMBERS[name].words} ${ill} (${well})`;
        });
        return (
          `Run ${model.get("run") + 1}, step ${steps[look()]}, in brackets the healthy ` +
          `twin: ${at.join(", ")}.`
        );
      },
    });
  };
})();
