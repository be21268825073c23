"""llama.cpp on a GGUF file, in a process of its own: the reference of what we export.

    python tests/engine/llama_cpp.py MODEL.gguf < QUESTIONS > ANSWERS

QUESTIONS: {"texts": [...], "prompts": [[token, ...], ...], "length": n}
ANSWERS: {"tokens": of each text, "continuations": the n likeliest tokens after each prompt,
"begin": what a text is begun with}
"""

import json
import sys
import urllib.request


def main(path: str) -> None:
    import xllamacpp

    questions = json.load(sys.stdin)
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.cpuparams.n_threads = 1  # its threads spin: two on a busy machine take minutes
    params.warmup = False
    server = xllamacpp.Server(params)

    def post(what: str, **body: object) -> dict[str, list[int]]:
        url, data = f"{server.listening_address}/{what}", json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            result: dict[str, list[int]] = json.load(answer)
        return result

    answers = {
        "tokens": [
            post("tokenize", content=text, parse_special=False)["tokens"]
            for text in questions["texts"]
        ],
        "continuations": [
            post(
                "completion",
                prompt=prompt,
                n_predict=questions["length"],
                temperature=0,
                return_tokens=True,
                cache_prompt=False,
            )["tokens"]
            for prompt in questions["prompts"]
        ],
        "begin": post("tokenize", content="", add_special=True)["tokens"],
    }
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
