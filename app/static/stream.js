// Asking the service for stories, and what comes back while they are written.
"use strict";

// What the service said instead of a story, as in its answers: field is the wrong parameter's name,
// retry_after seconds; both are null where there are none.
class Refusal extends Error {
  constructor({ message, field = null, retry_after = null }) {
    super(message);
    this.field = field;
    this.retryAfter = retry_after;
  }

  // Its words as a sentence for the reader of a page.
  get sentence() {
    const subject = this.field === "prefix" ? "your story" : this.field;
    const words = subject ? `${subject} ${this.message}` : this.message;
    return `${words[0].toUpperCase()}${words.slice(1)}.`;
  }
}

const RETRIES = 3;
const LONGEST_WAIT = 60; // seconds

// Yields [event, data] while stories are written: the server's events, and before them
// `refused` {message, seconds} each second while a busy server is given time.
// Throws Refusal, TypeError where the connection is lost, and signal.reason.
async function* storyEvents(address, parameters, signal) {
  for (let retries = 0; ; retries++) {
    let begun = false;
    try {
      for await (const [event, data] of events(await post(address, parameters, signal))) {
        if (event === "error") throw new Refusal(data.error);
        begun ||= event !== "queued";
        yield [event, data];
      }
      return;
    } catch (error) {
      const wait = error.retryAfter ?? 0;
      if (begun || !wait || wait > LONGEST_WAIT || retries === RETRIES) throw error;
      for (let seconds = wait; seconds > 0; seconds--) {
        yield ["refused", { message: error.sentence, seconds }];
        await second(signal);
      }
    }
  }
}

async function post(address, parameters, signal) {
  const response = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...parameters, stream: true }),
    signal,
  });
  if (response.ok) return response.body;
  const answer = await response.json().catch(() => ({}));
  throw new Refusal({
    message: "the writer did not answer, try again in a minute",
    retry_after: Number(response.headers.get("Retry-After")),
    ...answer.error,
  });
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (waiting + value).split("\n\n");
    waiting = blocks.pop();
    for (const block of blocks) {
      // A comment is none. JSON may have U+2028 and U+2029, at which a dot would stop.
      const found = block.match(/^event: ([^\n]*)\ndata: ([^\n]*)$/);
      if (found) yield [found[1], JSON.parse(found[2])];
    }
  }
}

function second(signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
