// The story being written: its present state, what undo and redo lead to, and keeping all of it.
"use strict";

// A state is {text, parent, candidates}: parent is the id of the stored story that the text ends
// with, or null. Nothing in it changes, but for a candidate {text, answer} while it is written: in
// all states that show it.
class Draft {
  static #KEY = "draft";
  static #VERSION = 1;
  static #MOST = 200_000; // characters of text in the history

  constructor(state) {
    this.state = state;
    this.mood = {};
    this.past = [];
    this.future = [];
  }

  // The draft that was kept, or null. This tab's own comes first: another may have written since.
  static kept() {
    for (const storage of Draft.#storages()) {
      try {
        const kept = JSON.parse(storage.getItem(Draft.#KEY));
        if (kept?.version !== Draft.#VERSION) continue;
        return Object.assign(new Draft(kept.state), kept);
      } catch {
        // Not ours, or not readable: as if there were none.
      }
    }
    return null;
  }

  // Keeps it for a reload, and for the next visit. Without storage the page works all the same.
  keep() {
    const kept = JSON.stringify({ ...this, version: Draft.#VERSION });
    for (const storage of Draft.#storages()) {
      try {
        storage.setItem(Draft.#KEY, kept);
      } catch {
        // Full, or forbidden.
      }
    }
  }

  // Goes on to another state, as a step that can be undone.
  commit(state) {
    this.past.push(this.state);
    this.future = [];
    this.state = state;
    let size = 0;
    const first = this.past.findLastIndex((past) => (size += Draft.#size(past)) > Draft.#MOST);
    this.past = this.past.slice(first + 1);
  }

  undo() {
    this.#move(this.past, this.future);
  }

  redo() {
    this.#move(this.future, this.past);
  }

  #move(from, to) {
    if (!from.length) return;
    to.push(this.state);
    this.state = from.pop();
  }

  static #size({ text, candidates }) {
    return candidates.reduce((sum, candidate) => sum + candidate.text.length, text.length);
  }

  static #storages() {
    return ["sessionStorage", "localStorage"].flatMap((name) => {
      try {
        return window[name] ?? [];
      } catch {
        return []; // the browser forbids it
      }
    });
  }
}
