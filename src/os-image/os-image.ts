/** The face of this room: an operating system image, its identity, and the registers it leads to. */
export {
  CHECKSUM_FILE,
  CHECKSUM_LIMIT,
  type Checksums,
  DIGEST_FILE,
  formatChecksumFile,
  osImageHash,
  parseChecksumFile,
} from './checksum-file.ts';
export {
  MEASUREMENT_FILE,
  MEASUREMENT_LIMIT,
  type MeasurementDocument,
  readBoundMeasurement,
  readMeasurementDocument,
  writeMeasurementDocument,
} from './document.ts';
export { checkImageFolder, readImageFolder } from './folder.ts';
export { checkImageFiles, digestOfFiles, type ImageFolder, imageOfFiles } from './image-files.ts';
export { type ImageMetadata, METADATA_FILE, readImageMetadata } from './metadata.ts';
export {
  checkPlatformFirmware,
  documentOfImage,
  type ImageParts,
  predictFromDocument,
  predictFromImage,
} from './predict.ts';
export {
  type AcpiDigests,
  EVENT_NAMES,
  INFLUENCES,
  type Influence,
  type RegisterPrediction,
  type SystemEvent,
  type SystemEventName,
  type SystemPrediction,
  type SystemRegister,
} from './prediction.ts';
export { type PinnedEvent, readSystemPins, type SystemPins, systemJson } from './prediction-json.ts';
export { type PageOrder, pageOrder, readVmConfig, shapeFromVmConfig, VM_CONFIG_LIMIT, type VmShape } from './shape.ts';
