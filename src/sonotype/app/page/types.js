/**
 * The values that the program sends, and what `start(context)` of each tab gets. Types only.
 *
 * @typedef {{name: string, clips: number, seconds: number, negative: boolean}} ClassInfo
 * @typedef {{name: string, title: string, available: boolean}} Backbone
 * @typedef {{value: number, low: number, high: number}} Accuracy
 *
 * @typedef {object} Project
 * @property {string} folder
 * @property {string} name
 * @property {ClassInfo[]} classes
 * @property {string} backbone
 * @property {Backbone[]} backbones
 * @property {string} advice  what is missing, empty if nothing is
 * @property {boolean} ready  whether a training may start
 * @property {string} command
 *
 * @typedef {object} Training
 * @property {string} run
 * @property {"running"|"done"|"failed"|"cancelled"} state
 * @property {string} step
 * @property {number|null} fraction
 * @property {number} seconds  since its start
 * @property {string} message
 *
 * @typedef {object} Run
 * @property {string} id
 * @property {string} created  ISO 8601
 * @property {number} clips
 * @property {string[]|number} classes
 * @property {string} backbone
 * @property {Accuracy|null} accuracy
 * @property {string} note
 * @property {boolean} report
 *
 * @typedef {object} Model
 * @property {string} id  "run-0002", "file-0" or "builtin"
 * @property {string} name
 * @property {string[]} classes
 * @property {{name: string, classes: string[]}[]} levels
 * @property {number} seconds  length of its clip
 * @property {boolean} unknown  whether it can say that a sound is none of its classes
 * @property {number} branches
 * @property {boolean} explains
 *
 * @typedef {{version: number, project: Project, training: Training|null, runs: Run[], models: Model[]}} AppState
 *
 * @typedef {{kind: string, severity: "error"|"warning"|"note", text: string}} ClipFinding
 * @typedef {{file: string, seconds: number, added: string, findings: ClipFinding[], stored?: boolean}} Clip
 * @typedef {{class: string, file: string, detail: string}} Place
 * @typedef {{kind: string, severity: "error"|"warning"|"note", text: string, advice: string, places: Place[]}} Finding
 *
 * @typedef {object} Sound
 * @property {string} id
 * @property {string} name
 * @property {number} seconds
 * @property {number} sample_rate
 * @property {number} channels
 * @property {boolean} long
 * @property {string} note
 *
 * @typedef {"try"|"build"|"live"} TabName
 *
 * @typedef {object} Context
 * @property {() => AppState|null} state  the last state, null before the first
 * @property {(listener: (state: AppState) => void) => void} onState
 *   Calls now if there is a state, and after each change.
 * @property {() => Model|null} model  the model chosen in the header
 * @property {(listener: (model: Model|null) => void) => void} onModel
 *   Calls now if there is a model, and when another one is chosen.
 * @property {(id: string) => void} chooseModel
 *   Chooses a model now, or when it appears in the state (a run that has just ended).
 * @property {() => TabName} tab
 * @property {(name: TabName) => void} showTab
 * @property {(listener: (name: TabName) => void) => void} onTab  after another tab is shown
 * @property {(sound: Sound, className?: string) => void} openSound
 *   Shows the tab Try with a sound that the program has; the class is offered for what is kept.
 * @property {(listener: (sound: Sound, className?: string) => void) => void} onOpenSound
 * @property {(text: string) => void} status  says a short text in the status line
 * @property {(error: unknown) => void} error  shows an error or a sentence; ignores an AbortError
 * @property {() => void} clearError
 * @property {<T>(work: () => Promise<T>) => Promise<T|undefined>} attempt
 *   Awaits the work and shows its error; undefined if it failed.
 */

export {};
