"""The ancestor, to compare with: a WSGI app that does what its forebears of 2019 did.

Every request starts a TensorFlow session, loads the checkpoint into it, draws a text with
gpt-2-simple and closes the session. The environment's CHECKPOINT is the folder to serve, and
bench/ancestor.ini how.
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import gpt_2_simple as gpt2
import tensorflow as tf

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse


def app(environ: dict[str, Any], start_response: "StartResponse") -> Iterable[bytes]:
    """A story for the query's `prefix`, of `length` tokens."""
    query = dict(parse_qsl(environ["QUERY_STRING"]))
    folder = Path(os.environ["CHECKPOINT"])
    where = {"run_name": folder.name, "checkpoint_dir": str(folder.parent)}
    tf.compat.v1.reset_default_graph()
    session = gpt2.start_tf_sess()
    gpt2.load_gpt2(session, **where)
    (text,) = gpt2.generate(
        session,
        **where,
        prefix=query["prefix"],
        length=int(query["length"]),
        temperature=0.7,
        top_k=40,
        return_as_list=True,
    )
    session.close()
    body = json.dumps({"sample_text": text}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("200 OK", headers)
    return [body]
