// An agent that asks GitHub who it is, with the placeholder that it holds as its token.
import { Octokit } from '@octokit/rest';

const octokit = new Octokit({ auth: process.env.GITHUB_TOKEN, retry: { enabled: false } });
const { data } = await octokit.rest.users.getAuthenticated();
const repositories = await octokit.paginate(octokit.rest.repos.listForAuthenticatedUser, { per_page: 2 });
process.stdout.write(JSON.stringify({ login: data.login, repositories: repositories.map((each) => each.name) }));
