"""Write the expected manifests anew, to be read in review: python -m tests.chart.update_golden."""

from tests.chart.rendering import CI_VALUES, golden_of, render, values_of

if __name__ == "__main__":
    for values_file in CI_VALUES:
        golden_of(values_file).write_text(render(values_of(values_file)).text, encoding="utf-8")
        print(f"wrote {golden_of(values_file).name}")
