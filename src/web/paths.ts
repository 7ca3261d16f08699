/** Where the pages are. The first is fixed by the protocol of Alter's widget, the second is registered at every provider. */
export const CONNECT_PATH = '/sdk/oauth/connect';
export const CALLBACK_PATH = '/oauth/callback';
