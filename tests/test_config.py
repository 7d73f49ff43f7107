"""Every option and experiment composes, and says the same as the dataclasses."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_module

import mcvar
from mcvar import config as c
from mcvar.cli import register, to_config
from mcvar.engines.kernels import source_folder, sources_digest

CONFIGS = Path(next(iter(import_module("mcvar.configs").__path__)))
GROUPS = sorted(p.name for p in CONFIGS.iterdir() if p.is_dir() and p.name not in ("hydra", "__pycache__"))
FILES = sorted(p.relative_to(CONFIGS) for g in GROUPS for p in (CONFIGS / g).glob("*.yaml"))


def composed(*overrides: str) -> c.Config:
    register()
    with initialize_config_module(config_module="mcvar.configs", version_base="1.3"):
        return to_config(compose("config", overrides=list(overrides)))


def test_default_equals_python_default() -> None:
    assert composed() == c.Config()


@pytest.mark.parametrize("path", [f for f in FILES if f.parent.name != "experiment"], ids=str)
def test_every_option_composes_to_its_class(path: Path) -> None:
    group, option = path.parent.name, path.stem
    config = composed(f"{group}={option}")
    assert type(getattr(config, group)) is c.OPTIONS[group][option]


@pytest.mark.parametrize(
    "path", [f for f in FILES if f.parent.name not in ("experiment", "measure", "executor", "scan")], ids=str
)
def test_yaml_and_dataclass_defaults_are_equal(path: Path) -> None:
    group, option = path.parent.name, path.stem
    assert getattr(composed(f"{group}={option}"), group) == c.OPTIONS[group][option]()


@pytest.mark.parametrize("path", [f for f in FILES if f.parent.name == "experiment"], ids=str)
def test_every_experiment_composes_and_only_chooses_options(path: Path) -> None:
    composed(f"experiment={path.stem}")
    assert set(yaml.safe_load((CONFIGS / path).read_text())) == {"defaults"}


def test_the_command_line_wins_over_an_experiment_and_an_experiment_over_the_market() -> None:
    assert isinstance(composed("experiment=fat_tails").correlation, c.EwmaCorrelation)
    assert isinstance(composed("experiment=fat_tails", "correlation=identity").correlation, c.IdentityCorrelation)
    assert isinstance(composed("market=files").correlation, c.MatrixCorrelation)
    assert isinstance(composed("experiment=deribit").book, c.DeribitBook)


def test_options_files_and_classes_are_one_list() -> None:
    listed = {(f.parent.name, f.stem) for f in FILES if f.parent.name != "experiment"}
    assert listed == {(group, option) for group, options in c.OPTIONS.items() for option in options}


def test_help_names_every_option_and_experiment() -> None:
    text = (CONFIGS / "hydra" / "help" / "mcvar.yaml").read_text().split("Groups (GROUP=OPTION)")[1]
    for path in FILES:
        line = next(line for line in text.splitlines() if line.strip().startswith(path.parent.name + " "))
        assert path.stem in line.replace("|", " ").split(), path


def test_config_knows_neither_hydra_nor_omegaconf() -> None:
    source = Path(c.__file__).read_text()
    assert "import hydra" not in source
    assert "omegaconf import" not in source


def test_python_config_is_made_of_plain_dataclasses() -> None:
    for field in dataclasses.fields(c.Config):
        assert dataclasses.is_dataclass(getattr(c.Config(), field.name)), field.name


def test_kernel_sources_installed_and_in_the_source_tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert (source_folder() / "__init__.py").is_file()
    monkeypatch.setattr("mcvar.engines.kernels.find_spec", lambda name: None)
    monkeypatch.setattr("mcvar.engines.kernels.__file__", str(tmp_path / "mcvar" / "engines" / "kernels.py"))
    with pytest.raises(FileNotFoundError, match="no kernel sources"):
        source_folder()
    (tmp_path / "kernels").mkdir()
    assert source_folder() == tmp_path / "kernels"
    empty = sources_digest()
    (tmp_path / "kernels" / "a.cuh").write_text("x")
    assert sources_digest() != empty


def test_public_names_resolve() -> None:
    for name in mcvar.__all__:
        assert getattr(mcvar, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = mcvar.nothing
