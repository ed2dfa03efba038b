"""Small objects and little else: records are made, written as JSON and read back."""

import json

for _ in range(3):
    records = [
        {"id": i, "name": f"name {i}", "values": [i * 1.5, i * 2.5, str(i)], "tags": ("a", f"t{i}")}
        for i in range(1500)
    ]
    assert len(json.loads(json.dumps(records))) == len(records)
    del records
