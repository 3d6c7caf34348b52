/** The face of this room: two commands, each loaded when it is run. The view of docker is a small process beside the agent. */
export const loadDockerView = () => import('./docker-view/serve.ts');
export const loadServe = () => import('./serve.ts');
