"""An importer reads documents and keeps the title of each: the texts are gone, their memory is not."""

import json

import stage

documents = [
    json.dumps({"title": "T" * 600, "text": "word " * 900, "number": number}) for number in range(12_000)
]
parsed = [json.loads(document) for document in documents]
titles = [document["title"] for document in parsed[::8]]
del documents, parsed
stage.ready()
stage.hold()
