// The form, enhanced: the story appears as it is written. Without this file the same form loads the
// story as a page.
"use strict";

(() => {
  const element = (id) => document.getElementById(id);
  const form = element("form");
  const box = element("prefix");
  const button = element("write");
  const story = element("story");
  const again = element("again");
  const link = element("link");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const writeLabel = button.textContent;
  let running = null; // AbortController of the story being written

  const paragraphs = (text) => text.replace(/\n+/g, "\n\n");

  const show = (node, text) => {
    node.textContent = text;
    node.hidden = false;
  };

  // Shows text letter by letter, faster the more is waiting.
  class Typewriter {
    constructor(node) {
      this.node = node;
      this.text = "";
      this.shown = 0;
      this.idle = Promise.resolve();
    }

    add(text) {
      const waiting = this.shown < this.text.length;
      this.text = paragraphs(this.text + text);
      if (!waiting) this.idle = this.type();
    }

    stop() {
      this.text = this.text.slice(0, this.shown);
    }

    async type() {
      while (this.shown < this.text.length) {
        const left = this.text.length - this.shown;
        const atOnce = still.matches || document.hidden;
        this.shown += atOnce ? left : Math.ceil(left / 40);
        // Never half of a surrogate pair.
        if (/[\ud800-\udbff]/.test(this.text[this.shown - 1])) this.shown++;
        this.node.textContent = this.text.slice(0, this.shown);
        if (!atOnce) await new Promise(requestAnimationFrame);
      }
    }
  }

  // Yields [event, data] of a stream of server-sent events.
  async function* events(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let waiting = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (waiting + value).split("\n\n");
      waiting = blocks.pop();
      for (const block of blocks) {
        const [, event, data] = block.match(/^event: (.*)\ndata: (.*)$/);
        yield [event, JSON.parse(data)];
      }
    }
  }

  const sentence = ({ field, message }) => {
    const subject = field === "prefix" ? "your opening" : field;
    const words = subject ? `${subject} ${message}.` : `${message}.`;
    return words[0].toUpperCase() + words.slice(1);
  };

  async function request(parameters, signal) {
    const body = new URLSearchParams(parameters);
    body.set("stream", "true");
    body.set("include_prefix", "false");
    const response = await fetch(form.dataset.generate, { method: "POST", body, signal });
    if (response.ok) return response.body;
    const answer = await response.json().catch(() => ({}));
    throw answer.error ?? { message: "The writer did not answer. Try again in a minute" };
  }

  // Writes the story of parameters, those of a story's address.
  async function write(parameters) {
    running?.abort();
    const controller = (running = new AbortController());
    const { signal } = controller;
    const started = performance.now();
    for (const id of ["error", "ending", "after", "examples"]) {
      if (element(id)) element(id).hidden = true;
    }
    element("begun").textContent = paragraphs(parameters.get("prefix") ?? "");
    element("written").textContent = "";
    element("status").textContent = "Writing.";
    story.hidden = false;
    story.classList.add("writing");
    story.setAttribute("aria-busy", "true");
    button.textContent = "Stop";
    const typewriter = new Typewriter(element("written"));
    signal.addEventListener("abort", () => typewriter.stop());
    try {
      let answer = null;
      for await (const [event, data] of events(await request(parameters, signal))) {
        if (event === "text") typewriter.add(data.text);
        if (event === "error") throw data.error;
        if (event === "done") answer = data;
      }
      if (!answer) throw { message: "The story broke off. Try again" };
      const seconds = (performance.now() - started) / 1000;
      await typewriter.idle;
      signal.throwIfAborted();
      finish(parameters, answer, seconds);
    } catch (error) {
      if (running !== controller) return; // another story has begun
      if (signal.aborted) element("status").textContent = "Stopped.";
      else fail(error);
    } finally {
      if (running === controller) {
        running = null;
        button.textContent = writeLabel;
        story.classList.remove("writing");
        story.removeAttribute("aria-busy");
      }
    }
  }

  function finish(parameters, answer, seconds) {
    const seeded = new URLSearchParams(parameters);
    seeded.set("seed", answer.seed);
    again.href = `${form.action}?${parameters}`;
    link.href = `${form.action}?${seeded}`;
    show(element("ending"), answer.finish_reason === "stop" ? "The end" : "To be continued…");
    show(
      element("facts"),
      `model ${answer.model} · seed ${answer.seed} · ${answer.tokens} tokens · ${seconds.toFixed(1)} s`
    );
    element("after").hidden = false;
    element("status").textContent = "The story is finished.";
    history.replaceState(null, "", link.href);
  }

  function fail(error) {
    const lost = error instanceof TypeError; // what fetch throws without a network
    show(element("error"), sentence(lost ? { message: "The connection was lost. Try again" } : error));
    story.hidden = element("written").textContent === "";
    element("status").textContent = "";
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort();
    else write(new URLSearchParams({ prefix: box.value.trim() }));
  });

  box.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  again.addEventListener("click", (event) => {
    event.preventDefault();
    write(new URL(again.href).searchParams);
  });

  element("examples")?.addEventListener("click", (event) => {
    const opening = event.target.closest("a");
    if (!opening) return;
    event.preventDefault();
    const parameters = new URL(opening.href).searchParams;
    box.value = parameters.get("prefix");
    write(parameters);
  });

  // Without a clipboard (plain HTTP on another machine) the link stays a link.
  if (navigator.clipboard) {
    link.textContent = "Copy link";
    link.addEventListener("click", (event) => {
      event.preventDefault();
      navigator.clipboard.writeText(link.href).then(() => {
        link.textContent = "Copied";
        element("status").textContent = "Link copied.";
        setTimeout(() => (link.textContent = "Copy link"), 2000);
      });
    });
  }
})();
