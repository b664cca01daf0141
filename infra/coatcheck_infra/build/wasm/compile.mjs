// node compile.mjs NODE_MODULES DIRECTORY: compile every .py below DIRECTORY with the Python in `pyodide`.
// The arguments of compile_dir are those that infra/coatcheck_infra/build/bytecode.py gives a Python of flesh and blood.
import { pathToFileURL } from "node:url";

const [modules, directory] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(`${modules}/pyodide/pyodide.mjs`));
const python = await loadPyodide({ env: { PYTHONHASHSEED: "0" } });
python.FS.mkdirTree("/stage");
python.FS.mount(python.FS.filesystems.NODEFS, { root: directory }, "/stage");
const compiled = python.runPython(`
import compileall, py_compile
compileall.compile_dir("/stage", maxlevels=99, quiet=1, stripdir="/stage",
                       invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
`);
process.exit(compiled ? 0 : 1);
