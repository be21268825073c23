// The co-writing page. Without this file the same form loads one story as a page.
"use strict";

(() => {
  const element = (id) => document.getElementById(id);
  const form = element("form");
  const box = element("prefix");
  const button = element("write");
  const section = element("candidates");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const touch = matchMedia("(pointer: coarse)");

  const LIMIT = box.maxLength; // characters that the service reads
  const WIDE = 3; // candidates side by side
  const PLACES = "next second third fourth fifth sixth seventh eighth ninth tenth".split(" ");
  const REASONS = {
    copied: "Drawn anew: it was copied from the corpus.",
    word: "Drawn anew: it had a word that is not shown here.",
    loop: "Drawn anew: it went round in circles.",
    empty: "Drawn anew: nothing came of it.",
  };
  const ENDINGS = {
    stop: "The end.",
    deadline: "Cut short: time ran out.",
    filtered: "Cut short: what came next is not shown here.",
  };

  const seconds = (number) => `${number} ${number === 1 ? "second" : "seconds"}`;

  // Words for a place in the queue.
  function place({ position, wait }) {
    const nth = PLACES[position - 1] ?? `number ${position}`;
    return `You are ${nth} in line, about ${seconds(Math.max(1, Math.round(wait)))}.`;
  }

  // What is known about where a text comes from; copied is null where nobody has looked.
  function origin(copied) {
    if (!copied) return "";
    if (!copied.length) return "Written new: 0 sentences copied.";
    return copied.map(({ words, source }) => `${words} words from "${source}".`).join(" ");
  }

  // The end of a story that is longer than the service reads, from a whole word on.
  function tail(text) {
    return text.length <= LIMIT ? text : text.slice(-LIMIT).replace(/^\S*\s*/, "");
  }

  const withoutBlanks = (text) => text.replace(/[ \t]+$/, "");

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
      this.text = (this.text + text).trimStart(); // of a space that joins it to what it follows
      if (!waiting) this.idle = this.type();
    }

    clear() {
      this.text = "";
      this.shown = 0;
      this.node.textContent = "";
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

  // A candidate on the page. A candidate is {text, answer}; answer is what the service says about
  // it, or null where it broke off.
  class Card {
    constructor(number, candidate) {
      this.candidate = candidate;
      this.node = element("card").content.cloneNode(true).firstElementChild;
      this.part("number").textContent = number;
      this.part("pick").append(` ${number}`);
      this.part("another").setAttribute("aria-label", `Another for ${number}`);
      this.part("share").setAttribute("aria-label", `Share ${number}`);
      this.part("pick").addEventListener("click", () => pick(this));
      this.part("another").addEventListener("click", () => another(this));
      this.typewriter = new Typewriter(this.part("text"));
      this.show();
    }

    part(name) {
      return this.node.querySelector(`[data-part=${name}]`);
    }

    get isBusy() {
      return this.node.hasAttribute("aria-busy");
    }

    // Waits for the text to come, in the following two.
    begin() {
      this.node.setAttribute("aria-busy", "true");
      this.part("note").textContent = "";
      this.part("actions").hidden = true;
    }

    add(text) {
      this.candidate.text += text;
      this.typewriter.add(text);
    }

    forget(reason) {
      this.candidate.text = "";
      this.typewriter.clear();
      this.part("note").textContent = REASONS[reason] ?? "Drawn anew.";
    }

    // Shows the whole of it, and what can be done with it.
    show() {
      const { text, answer } = this.candidate;
      this.node.removeAttribute("aria-busy");
      this.part("text").textContent = text.trimStart();
      const notes = answer ? [ENDINGS[answer.finish_reason] ?? "", origin(answer.copied)] : [];
      this.part("note").textContent = notes.filter(Boolean).join(" ");
      this.part("pick").hidden = !text;
      this.part("share").hidden = !answer?.url;
      if (answer?.url) this.part("share").href = answer.url;
      this.part("actions").hidden = false;
    }
  }

  const typed = box.value === box.defaultValue ? null : box.value; // before this file came
  const offered = { text: box.value, parent: form.elements.parent?.value ?? null, candidates: [] };
  const draft = Draft.kept() ?? new Draft(offered);
  const running = new Set(); // AbortControllers of the requests under way
  let cards = [];
  let lastInput = null; // kind of the input that the present step consists of
  let isReplaced = false; // whether the present input replaces the whole text

  // Showing

  const say = (words) => {
    if (element("status").textContent !== words) element("status").textContent = words;
  };

  // The label counts down for the eye; a screen reader is told once.
  const countDown = (left) => {
    element("countdown").textContent = left ? ` Trying again in ${seconds(left)}.` : "";
  };

  function complain(words) {
    element("error").textContent = words;
    element("error").hidden = !words;
  }

  function showBox() {
    const { text } = draft.state;
    if (box.value !== text) {
      const end = changeEnd(box.value, text);
      box.value = text;
      box.setSelectionRange(end, end);
    }
    if (!CSS.supports("field-sizing", "content")) {
      box.style.height = "auto";
      box.style.height = `${box.scrollHeight}px`;
    }
  }

  // Where the part of a text ends that differs from an older one: there the caret belongs.
  function changeEnd(older, newer) {
    let same = 0;
    const most = Math.min(older.length, newer.length);
    while (same < most && older.at(-1 - same) === newer.at(-1 - same)) same++;
    return newer.length - same;
  }

  function showTools() {
    const { text, parent, candidates } = draft.state;
    element("undo").setAttribute("aria-disabled", String(!draft.past.length));
    element("redo").setAttribute("aria-disabled", String(!draft.future.length));
    element("anew").setAttribute("aria-disabled", String(!text && !candidates.length));
    element("tools").hidden = !(text || draft.past.length || draft.future.length);
    element("long").hidden = text.length <= LIMIT;
    element("label").textContent = parent ? "The story so far" : "How does it begin?";
    button.textContent = running.size ? "Stop" : "Write on";
    document.body.classList.toggle("begun", Boolean(parent || candidates.length));
    if (element("examples")) element("examples").hidden = Boolean(text || candidates.length);
  }

  function showCards() {
    const { candidates } = draft.state;
    cards = candidates.map((candidate, i) => new Card(i + 1, candidate));
    element("cards").replaceChildren(...cards.map((card) => card.node));
    section.hidden = !cards.length;
  }

  function show() {
    showBox();
    showCards();
    showTools();
    draft.keep();
  }

  // Writing

  function stop() {
    for (const controller of running) controller.abort();
    running.clear();
    countDown(0);
  }

  // Has the candidates of some cards written.
  async function write(writing) {
    const controller = new AbortController();
    const { signal } = controller;
    running.add(controller);
    for (const card of writing) card.begin();
    complain("");
    say("Writing.");
    showTools();
    try {
      const asked = request(writing.length);
      let answer = null;
      for await (const [event, data] of storyEvents(form.dataset.generate, asked, signal)) {
        signal.throwIfAborted(); // what has come already is not wanted any more
        countDown(event === "refused" ? data.seconds : 0);
        if (event === "refused") say(data.message);
        if (event === "queued") say(place(data));
        if (event === "text") {
          say("Writing.");
          writing[data.index].add(data.text);
        }
        if (event === "reset") writing[data.index].forget(data.reason);
        if (event === "done") answer = data;
        draft.keep();
      }
      if (!answer) throw new Refusal({ message: "the story broke off, try again" });
      (answer.samples ?? [answer]).forEach(({ text, id, url, copied, finish_reason }, i) =>
        Object.assign(writing[i].candidate, { text, answer: { id, url, copied, finish_reason } })
      );
      draft.keep();
      await Promise.all(writing.map((card) => card.typewriter.idle));
      signal.throwIfAborted();
      say(writing.length > 1 ? "Three ways on are written. Pick one." : "Another is written.");
    } catch (error) {
      if (!signal.aborted) {
        // TypeError is what fetch throws without a network.
        complain(error.sentence ?? "The connection was lost. Try again in a moment.");
        say("");
      }
    } finally {
      for (const card of writing) card.show();
      if (!signal.aborted) countDown(0);
      running.delete(controller);
      showTools();
    }
  }

  function request(nsamples) {
    const chosen = new FormData(form);
    const parameters = {
      prefix: tail(withoutBlanks(draft.state.text)).trimStart(),
      length: Number(chosen.get("length")),
      temperature: Number(chosen.get("temperature")),
      nsamples,
      include_prefix: false,
    };
    if (draft.state.parent) parameters.parent = draft.state.parent;
    return parameters;
  }

  const blank = () => ({ text: "", answer: null });

  function writeOn() {
    stop();
    const next = { ...draft.state, candidates: Array.from({ length: WIDE }, blank) };
    if (draft.state.candidates.length) draft.commit(next);
    else draft.state = next;
    lastInput = null;
    show();
    section.focus({ preventScroll: true });
    section.scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
    write(cards);
  }

  function another(card) {
    const { candidates } = draft.state;
    const i = cards.indexOf(card);
    draft.commit({ ...draft.state, candidates: candidates.with(i, blank()) });
    lastInput = null;
    card.candidate = draft.state.candidates[i];
    card.typewriter.clear();
    section.focus({ preventScroll: true }); // its button goes while it is written
    write([card]);
  }

  function pick(card) {
    const { text, parent } = draft.state;
    const { candidate } = card;
    if (!candidate.text || card.isBusy) return;
    stop();
    const begun = withoutBlanks(text);
    goOn({
      text: begun ? begun + candidate.text : candidate.text.trimStart(),
      parent: candidate.answer?.id ?? parent,
      candidates: [],
    });
    say("Picked. Go on.");
  }

  // To another state of the story, with the focus where one goes on.
  function goOn(state) {
    draft.commit(state);
    lastInput = null;
    complain("");
    show();
    box.setSelectionRange(box.value.length, box.value.length);
    // A keyboard on the screen would hide the story.
    (touch.matches ? button : box).focus({ preventScroll: true });
    button.scrollIntoView({ block: "nearest", behavior: still.matches ? "auto" : "smooth" });
  }

  // Undo and redo are the page's own, for picks and typing alike: a browser's forgets what was
  // typed as soon as a script changes the box.
  function step(move, words) {
    if (!draft[move === "undo" ? "past" : "future"].length) return;
    stop();
    draft[move]();
    lastInput = null;
    complain("");
    show();
    say(words);
  }

  const undo = () => step("undo", "Undone.");
  const redo = () => step("redo", "Redone.");

  // Input

  function halt() {
    stop();
    say("Stopped.");
  }

  // Who presses Enter twice, holds it, or clicks twice wants one story, not one begun and stopped:
  // only a click of its own on Stop, and Escape, end the writing.
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!running.size) writeOn();
    else if (event.submitter) halt();
  });

  button.addEventListener("click", (event) => {
    if (event.detail > 1) event.preventDefault(); // counts the clicks of a double click
  });

  button.addEventListener("keydown", (event) => {
    if (event.repeat && event.key === "Enter") event.preventDefault();
  });

  // A step of undo is a word typed, a run of deletions, or anything larger.
  box.addEventListener("input", ({ inputType, data }) => {
    const isSmall = /^(insert(Composition)?Text|deleteContent)/.test(inputType);
    const text = box.value;
    // What is written after it is not of the same family.
    const parent = isReplaced || !text.trim() ? null : draft.state.parent;
    const next = { ...draft.state, text, parent };
    isReplaced = false;
    if (isSmall && inputType === lastInput && !/^\s/.test(data ?? "")) draft.state = next;
    else draft.commit(next);
    lastInput = inputType;
    showBox();
    showTools();
    draft.keep();
  });

  box.addEventListener("blur", () => (lastInput = null));

  box.addEventListener("beforeinput", (event) => {
    isReplaced = box.selectionStart === 0 && box.selectionEnd === box.value.length;
    const move = { historyUndo: undo, historyRedo: redo }[event.inputType];
    if (!move) return;
    event.preventDefault();
    move();
  });

  box.addEventListener("keydown", (event) => {
    const { key, shiftKey, ctrlKey, metaKey, isComposing, repeat } = event;
    if (key !== "Enter" || shiftKey || ctrlKey || metaKey || isComposing) return;
    event.preventDefault();
    if (!repeat) form.requestSubmit();
  });

  document.addEventListener("keydown", (event) => {
    const command = (event.ctrlKey || event.metaKey) && !event.altKey;
    const key = event.key.toLowerCase();
    if (command && key === "enter" && !event.repeat) form.requestSubmit();
    else if (command && (key === "z" || key === "y")) {
      event.preventDefault();
      if (key === "y" || event.shiftKey) redo();
      else undo();
    } else if (key === "escape" && running.size) halt();
  });

  section.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !/^[1-9]$/.test(event.key)) return;
    event.preventDefault(); // the focus moves to the box, and the digit would follow
    const card = cards[Number(event.key) - 1];
    if (card) pick(card);
  });

  element("undo").addEventListener("click", undo);
  element("redo").addEventListener("click", redo);
  element("anew").addEventListener("click", () => {
    const { text, candidates } = draft.state;
    if (!text && !candidates.length) return;
    stop();
    goOn({ text: "", parent: null, candidates: [] });
    say("Begun anew. Undo brings the story back.");
  });

  element("examples")?.addEventListener("click", (event) => {
    const opening = event.target.closest("a");
    if (!opening) return;
    event.preventDefault();
    const text = new URL(opening.href).searchParams.get("prefix");
    draft.commit({ text, parent: null, candidates: [] });
    writeOn();
  });

  // Mood

  const choices = [...form.querySelectorAll("[type=radio]")];

  function showMood() {
    const words = choices.filter((choice) => choice.checked).map((choice) => choice.dataset.words);
    element("chosen").textContent = words.join(", ");
  }

  form.addEventListener("change", ({ target }) => {
    if (!choices.includes(target)) return;
    draft.mood[target.name] = target.value;
    showMood();
    draft.keep();
  });

  // Beginning

  box.removeAttribute("maxlength"); // a long story is read from its end
  element("keys").hidden = false;
  for (const choice of choices) {
    if (draft.mood[choice.name] === choice.value) choice.checked = true;
  }
  // What this address offers, or was typed already, goes before what was kept; undo leads back.
  if (typed !== null || offered.text) {
    if (box.value !== draft.state.text) draft.commit(offered);
    history.replaceState(null, "", form.dataset.home);
  }
  showMood();
  if (!element("long").hidden) say(element("long").textContent);
  show();
  // One goes on at the end; who has begun to type is somewhere already.
  if (document.activeElement !== box) box.setSelectionRange(box.value.length, box.value.length);
})();
