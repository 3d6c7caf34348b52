/** Variables of the encrypted environment that log in to a registry; the platform's own start scripts have the same names. */
export const LOGIN_USERNAME = 'DSTACK_DOCKER_USERNAME';
export const LOGIN_PASSWORD = 'DSTACK_DOCKER_PASSWORD';
/** absent means Docker Hub */
export const LOGIN_REGISTRY = 'DSTACK_DOCKER_REGISTRY';

export const LOGIN_VARIABLES: readonly string[] = [LOGIN_USERNAME, LOGIN_PASSWORD, LOGIN_REGISTRY];

/** The platform's scripts log in to Amazon's registry with these, by its own program, which no guest image has. */
export const AMAZON_REGISTRY = 'DSTACK_AWS_ECR_REGISTRY';
