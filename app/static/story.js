// A story's page: a like without leaving it, and its address for the clipboard.
"use strict";

(() => {
  const element = (id) => document.getElementById(id);
  const form = element("like");
  const copy = element("copy");
  const say = (words) => (element("status").textContent = words);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const response = await fetch(form.dataset.like, { method: "POST" });
      if (!response.ok) throw new Error(response.statusText);
      const { likes } = await response.json();
      element("likes").textContent = likes;
      say("Liked.");
    } catch {
      say("The like did not arrive. Try again in a moment.");
    }
  });

  // There is no clipboard on plain HTTP.
  copy.hidden = !navigator.clipboard;
  copy.addEventListener("click", () =>
    navigator.clipboard.writeText(location.origin + location.pathname).then(
      () => say("Link copied."),
      () => say("The browser did not let the link be copied.")
    )
  );
})();
