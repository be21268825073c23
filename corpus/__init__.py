"""Getting and preparing the texts a model is trained on."""

from corpus.documents import (
    DELIMITER,
    CorpusError,
    CorpusFolder,
    Document,
    read_documents,
    write_documents,
)

__all__ = [
    "DELIMITER",
    "CorpusError",
    "CorpusFolder",
    "Document",
    "read_documents",
    "write_documents",
]
