/** The face of this room: one command starts it. */
export { serve } from './serve.ts';
