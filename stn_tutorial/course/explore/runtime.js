// Run trained networks in the page, by ONNX Runtime Web. A page from disk may read no
// files but scripts, so all that the runtime is made of comes in scripts: each adds a part
// of a file, as text, and is loaded when a reader asks for it. Needs drawing.js.

(() => {
  const stn = (globalThis.stn = globalThis.stn || {});

  /**
   * Where the scripts are, and how many bytes each has.
   * @typedef {{folder: string, files: [name: string, bytes: number][]}} Runtime
   */

  /**
   * What runs networks. One runs at a time; the others wait.
   * @typedef {{
   *   run: (name: string, input: string, values: Float32Array, size: number[]) =>
   *     Promise<Object<string, Float32Array>>,
   * }} Networks
   */

  let parts = {};

  /** Add a part of a file: what the scripts call. */
  stn.part = (file, text) => (parts[file] = parts[file] || []).push(text);

  /** How many bytes the scripts have. */
  stn.weight = ({ files }) => files.reduce((sum, [, bytes]) => sum + bytes, 0);

  const load = (source) =>
    new Promise((resolve, reject) => {
      const script = stn.element("script", { src: source });
      script.onload = () => {
        script.remove();
        resolve();
      };
      script.onerror = () => {
        script.remove();
        reject(new Error(`${source} is missing`));
      };
      document.head.append(script);
    });

  /** Bytes that came as base64, in parts each of which is whole by itself. */
  const bytes = (texts) => {
    const decoded = texts.map((text) => atob(text));
    const all = new Uint8Array(decoded.reduce((sum, { length }) => sum + length, 0));
    let place = 0;
    for (const text of decoded) {
      for (let k = 0; k < text.length; k++) all[place++] = text.charCodeAt(k);
    }
    return all;
  };

  const unzip = (packed) => {
    const stream = new Blob([packed]).stream();
    return new Response(
      stream.pipeThrough(new DecompressionStream("gzip")),
    ).arrayBuffer();
  };

  const start = async ({ folder, files }, progress) => {
    if (!globalThis.DecompressionStream) {
      throw new Error("this browser is older than DecompressionStream");
    }
    parts = {};
    const all = stn.weight({ files });
    let done = 0;
    for (const [name, size] of files) {
      await load(folder + name); // one after another: parts have an order
      progress((done += size) / all);
    }
    const { ort } = globalThis;
    const { glue, wasm, ...models } = parts;
    parts = {};
    const address = URL.createObjectURL(new Blob(glue, { type: "text/javascript" }));
    ort.env.wasm.numThreads = 1; // more need a server's permission
    ort.env.wasm.wasmPaths = { mjs: address };
    ort.env.wasm.wasmBinary = await unzip(bytes(wasm));
    ort.env.logLevel = "error";
    const sessions = {};
    for (const [name, texts] of Object.entries(models)) {
      const options = { executionProviders: ["wasm"] };
      sessions[name] = await ort.InferenceSession.create(bytes(texts), options);
    }
    ort.env.wasm.wasmBinary = undefined; // it is compiled now
    URL.revokeObjectURL(address);
    let turn = Promise.resolve();
    const run = async (name, input, values, size) => {
      const feeds = { [input]: new ort.Tensor("float32", values, size) };
      const results = await sessions[name].run(feeds);
      return Object.fromEntries(
        Object.entries(results).map(([output, { data }]) => [output, data]),
      );
    };
    return {
      run: (...what) => {
        const mine = turn.then(() => run(...what));
        turn = mine.catch(() => {});
        return mine;
      },
    };
  };

  let started = null;
  const waiting = [];

  /** Be told when the networks can run. */
  stn.onNetworks = (listener) =>
    started ? started.then(listener) : waiting.push(listener);

  /**
   * Load the runtime and all networks, once for all figures of the page.
   * @param {Runtime} runtime
   * @param {(fraction: number) => void} progress
   * @returns {Promise<Networks>}
   */
  stn.startNetworks = async (runtime, progress) => {
    started = started || start(runtime, progress);
    try {
      const networks = await started;
      waiting.splice(0).forEach((listener) => listener(networks));
      return networks;
    } catch (error) {
      started = null; // so that one may try again
      throw error;
    }
  };

  /** Probabilities from scores. */
  stn.softmax = (scores) => {
    const most = Math.max(...scores);
    const powers = Array.from(scores, (score) => Math.exp(score - most));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  };

  /** Where the largest of some numbers is. */
  stn.largest = (numbers) => numbers.indexOf(Math.max(...numbers));

  /**
   * A button that loads the networks, with a bar; it goes when they are there. Where the
   * page has none, what stands there says so.
   * @param {Runtime | null} runtime
   * @param {(networks: Networks) => void} ready
   */
  stn.loader = (runtime, ready) => {
    const element = stn.element("div", { class: "stn-loader" });
    if (!runtime) {
      element.append(
        stn.element(
          "p",
          {},
          "This copy of the page comes without ONNX Runtime Web, which runs the " +
            "networks: npm could not fetch it when the book was built. All else works.",
        ),
      );
      return { element, update: () => {} };
    }
    const megabytes = stn.number(stn.weight(runtime) / 1e6, 1);
    const bar = stn.element("progress", { max: 1, value: 0 });
    bar.setAttribute("aria-label", "loading the networks");
    bar.hidden = true;
    const said = stn.element(
      "p",
      {},
      "The networks run in this page, on your machine: nothing is sent anywhere.",
    );
    said.setAttribute("aria-live", "polite");
    const button = stn.button(`Load the networks (${megabytes} MB)`, async () => {
      button.element.disabled = true;
      bar.hidden = false;
      said.textContent = "Loading.";
      try {
        await stn.startNetworks(runtime, (fraction) => {
          bar.value = fraction;
          if (fraction >= 1) said.textContent = "Starting the networks.";
        });
      } catch (error) {
        button.element.disabled = false;
        bar.hidden = true;
        said.textContent = `The networks can't be loaded: ${error.message}.`;
      }
    });
    element.append(button.element, bar, said);
    stn.onNetworks((networks) => {
      element.hidden = true;
      ready(networks);
    });
    return { element, update: () => {} };
  };
})();
