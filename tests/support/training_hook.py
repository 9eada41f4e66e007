"""Python code that changes `model.training.trial` in the ranks of a search."""

from __future__ import annotations

HOOK = """
import importlib.abc, importlib.machinery, sys

class Hook(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name != "model.training.trial":
            return None
        self.real = importlib.machinery.PathFinder.find_spec(name, path)
        return importlib.machinery.ModuleSpec(name, self, origin=self.real.origin)

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.__file__ = self.real.origin
        self.real.loader.exec_module(module)
        inject(module.Training)

sys.meta_path.insert(0, Hook())

def inject(training):
"""
